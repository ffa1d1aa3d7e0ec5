"""The layer Pooling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Phase
from cafx.kernel.blob import shape_text
from cafx_layer_pooling.options import PoolingParameter
from cafx_lib_im2col import Window
from cafx_lib_pooling import PickingPool, Pool, make_pool

if TYPE_CHECKING:
    from cafx.conformance import Case


class Pooling(Layer):
    """Pooling: y[n, c, i, j] = the maximum, the mean or a random value of x's window at (i, j).

    The window at (i, j) starts at row i·stride_h − pad_h and column j·stride_w − pad_w; with ``dilation`` d, an
    option of a dialect, its values are d apart, and kernel below means d·(kernel − 1) + 1. Padding counts as
    zeros in a mean. STOCHASTIC draws a value with a probability proportional to it; in TEST phase it takes
    the expectation Σ x² / Σ x.

    Bottom: N×C×H×W. Top: N×C×H'×W', H' = ⌈(H + 2 pad − kernel) / stride⌉ + 1 (⌊…⌋ with FLOOR); with
    padding, a last window that would start after the plane is dropped. Optional second top (MAX only): the
    row-major index of each maximum within its plane, N×C×H'×W'.
    Gradient: dy goes to the selected value (the first of equal ones), or is divided among the window (AVE).

    Raises:
        CafxError: the bottom does not have four axes; the window is missing, specified twice, specified
            with global_pooling, or does not fit; padding is used with STOCHASTIC or is not smaller than the
            kernel; a second top without MAX.

    Source: Caffe's layer catalogue; stochastic: Zeiler and Fergus, "Stochastic Pooling for Regularization
    of Deep Convolutional Neural Networks", 2013.

    Read by engines:
        pool: `Pool` with window (kernel, stride, pad), inputs and outputs (height and width); None before
            the first reshape.
    """

    Parameter = PoolingParameter
    options: PoolingParameter
    tops = (1, 2)
    pool: Pool | None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the window."""
        self.pool, options = None, self.options
        if len(top) > 1 and options.pool != options.PoolMethod.MAX:
            found = f"pool: {options.pool.name}, 2 tops"
            raise self.error("only MAX pooling has a mask", found=found, expected="pool: MAX, or 1 top")
        kernel = self._pair("kernel_size", "kernel", required=not options.global_pooling)
        stride, pad, dilation = self._pair("stride", "stride"), self._pair("pad", "pad"), self._dilation()
        self.window = Window(kernel, stride, pad, dilation)
        self.as_written = "" if dilation == (1, 1) else "dilated pooling"
        kernel_options = [each for each in ("kernel_size", "kernel_h", "kernel_w") if options.has(each)]
        if options.global_pooling and (kernel_options or any(self.window.pad) or self.window.stride != (1, 1)):
            found = " and ".join(kernel_options) or "a pad or stride"
            expected = "no kernel, no pad, and no stride but 1"
            raise self.error("global_pooling excludes other window options", found=found, expected=expected)

    def _pair(self, name: str, stem: str, required: bool = False) -> tuple[int, int]:
        """The values for both axes, given in exactly one of the two forms."""
        options, pair = self.options, [f"{stem}_{side}" for side in "hw"]
        single, given = options.has(name), [each for each in pair if options.has(each)]
        if single == (given == pair) if required else given and (single or given != pair):
            found = " and ".join([name] * single + given) or "neither"
            expected = f"{name}, or {stem}_h and {stem}_w"
            raise self.error(f"the {stem} must be given exactly once", found=found, expected=expected)
        down, right = (getattr(options, each) or 0 for each in ([name, name] if single or not given else given))
        return down, right

    def _dilation(self) -> tuple[int, int]:
        """The distances between a window's values, an option of a dialect."""
        given = tuple(getattr(self.options, "dilation", ())) or (1,)
        if len(given) > 2 or min(given) < 1:
            raise self.error("dilation is out of range", found=shape_text(given), expected="one or two numbers ≥ 1")
        return given[0], given[-1]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Each plane has one value per window."""
        shape = bottom[0].shape
        if len(shape) != 4:
            raise self.error("the bottom is not N×C×H×W", found=shape_text(shape), expected="4 axes")
        if self.pool is None or self.pool.inputs != shape[2:]:
            options, whole = self.options, Window(shape[2:], (1, 1), (0, 0), (1, 1))
            window = whole if options.global_pooling else self.window
            floor = options.round_mode == options.RoundMode.FLOOR
            self.pool = make_pool(self, options.pool.name, window, shape[2:], floor)
        for each in top:
            each.reshape(*shape[:2], *self.pool.outputs)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the pooled values; with a second top, also their indices."""
        assert self.pool is not None
        self.pool.forward(bottom[0].data, top[0].mutable_data)
        if len(top) > 1 and isinstance(self.pool, PickingPool):
            self.pool.write_mask(top[1].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = the sum of the gradients from the windows that contain x."""
        if propagate_down[0] and self.pool is not None:
            bottom[0].mutable_diff[...] = 0
            self.pool.backward(bottom[0].data, top[0].diff, bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Every method, both forms of the window options, overlaps, overhangs, padding and masks."""
        from cafx.conformance import Case
        from cafx.conformance.cases import distinct, uniform

        pairs = {"kernel_h": 3, "kernel_w": 2, "stride_h": 2, "stride_w": 1, "pad_h": 1, "pad_w": 0}
        ave, stochastic = {"pool": "AVE"}, {"pool": "STOCHASTIC", "kernel_size": 2, "stride": 2}
        floor, positive = {"round_mode": "FLOOR"}, uniform((2, 3, 5, 4), 0.5, 2.0)
        yield Case("max", distinct((2, 3, 5, 6)), options={"kernel_size": 2, "stride": 2})
        yield Case("mask", distinct((2, 2, 5, 4)), tops=2, options={"kernel_size": 3, "stride": 2, "pad": 1})
        yield Case("pairs", distinct((2, 2, 6, 5)), options={**pairs, "engine": "CAFFE"})
        yield Case("whole", distinct((2, 3, 3, 4)), tops=2, options={"global_pooling": True})
        yield Case("floor", distinct((1, 2, 6, 5)), options={"kernel_size": 3, "stride": 2, **floor})
        yield Case("ave", (2, 2, 5, 6), options={"kernel_size": 3, "stride": 2, "pad": 1, **ave})
        yield Case("ave_pairs", (2, 2, 6, 5), options={**pairs, **ave})
        yield Case("ave_whole", (3, 2, 4, 3), options={"global_pooling": True, **ave})
        yield Case("expected", positive, options=stochastic, phase=Phase.TEST)
        yield Case("drawn", positive, options=stochastic, skip={"seeded": "every forward pass draws again"})
