"""Pooling: one value for each window of a plane."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Phase
from cafx.kernel.blob import shape_text
from cafx_layer_im2col import Window
from cafx_layer_pooling.fitting import make_pool
from cafx_layer_pooling.options import PoolingParameter
from cafx_layer_pooling.picking import PickingPool
from cafx_layer_pooling.pool import Pool

if TYPE_CHECKING:
    from cafx.conformance import Case


class Pooling(Layer):
    """Pooling: y[n, c, i, j] = the maximum, mean or a random one of x's window at (i, j).

    The window at (i, j) begins at row i·stride_h − pad_h and column j·stride_w − pad_w. A mean counts pad
    as zeros; STOCHASTIC draws a value with a probability in proportion to it, and in TEST phase takes
    Σ x² / Σ x, the mean of such draws.

    Bottom: N×C×H×W. Top: N×C×H'×W', H' = ⌈(H + 2 pad − kernel) / stride⌉ + 1 (⌊…⌋ with FLOOR); with pad,
    a last window that would begin behind the plane is left out. Second top, MAX only: for each value the
    place in its plane it came from, counted row by row.
    Gradient: dy goes to the value picked (of equal ones the first), or in equal parts to all of the window.

    Raises:
        CafxError: not four axes; a window stated twice, not at all, or together with global_pooling; one
            that does not fit; pad with STOCHASTIC or not smaller than the kernel; a mask without MAX.

    Source: Caffe's layer catalogue; stochastic: Zeiler and Fergus, "Stochastic Pooling for Regularization
    of Deep Convolutional Neural Networks", 2013.
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
        kernel = self._pair("kernel_size", "kernel", needed=not options.global_pooling)
        self.window = Window(kernel, self._pair("stride", "stride"), self._pair("pad", "pad"), (1, 1))
        stated = [each for each in ("kernel_size", "kernel_h", "kernel_w") if options.has(each)]
        if options.global_pooling and (stated or any(self.window.pad) or self.window.stride != (1, 1)):
            raise self.error(
                "global_pooling takes the whole plane", found=" and ".join(stated) or "a pad or stride",
                expected="no kernel, no pad, and no stride but 1",
            )  # fmt: skip

    def _pair(self, name: str, stem: str, needed: bool = False) -> tuple[int, int]:
        """The two axes' numbers, from one form or the other, but not from both."""
        options, apart = self.options, [f"{stem}_{side}" for side in "hw"]
        once, given = options.has(name), [each for each in apart if options.has(each)]
        if once == (given == apart) if needed else given and (once or given != apart):
            found = " and ".join([name] * once + given) or "neither"
            expected = f"{name}, or {stem}_h and {stem}_w"
            raise self.error(f"the {stem} is not stated once", found=found, expected=expected)
        down, right = (getattr(options, each) or 0 for each in ([name, name] if once or not given else given))
        return down, right

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The planes become as large as there are windows."""
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
        """y = each window's value; the mask, if wanted, where it was."""
        assert self.pool is not None
        self.pool.forward(bottom[0].data, top[0].mutable_data)
        if len(top) > 1 and isinstance(self.pool, PickingPool):
            self.pool.write_mask(top[1].mutable_data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = the sum of what each window gives back to its values."""
        if propagate_down[0] and self.pool is not None:
            bottom[0].mutable_diff[...] = 0
            self.pool.backward(bottom[0].data, top[0].diff, bottom[0].mutable_diff)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Each method and way to state a window, overlaps, overhangs, pad and masks."""
        from cafx.conformance import Case
        from cafx.conformance.cases import distinct, uniform

        pairs = {"kernel_h": 3, "kernel_w": 2, "stride_h": 2, "stride_w": 1, "pad_h": 1, "pad_w": 0}
        ave, drawn = {"pool": "AVE"}, {"pool": "STOCHASTIC", "kernel_size": 2, "stride": 2}
        floor, positive = {"round_mode": "FLOOR"}, uniform((2, 3, 5, 4), 0.5, 2.0)
        yield Case("max", distinct((2, 3, 5, 6)), options={"kernel_size": 2, "stride": 2})
        yield Case("mask", distinct((2, 2, 5, 4)), tops=2, options={"kernel_size": 3, "stride": 2, "pad": 1})
        yield Case("pairs", distinct((2, 2, 6, 5)), options={**pairs, "engine": "CAFFE"})
        yield Case("whole", distinct((2, 3, 3, 4)), tops=2, options={"global_pooling": True})
        yield Case("floor", distinct((1, 2, 6, 5)), options={"kernel_size": 3, "stride": 2, **floor})
        yield Case("ave", (2, 2, 5, 6), options={"kernel_size": 3, "stride": 2, "pad": 1, **ave})
        yield Case("ave_pairs", (2, 2, 6, 5), options={**pairs, **ave})
        yield Case("ave_whole", (3, 2, 4, 3), options={"global_pooling": True, **ave})
        yield Case("expected", positive, options=drawn, phase=Phase.TEST)
        yield Case("drawn", positive, options=drawn, skip={"seeded": "each forward draws anew"})
