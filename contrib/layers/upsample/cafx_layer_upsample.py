"""Upsample: unpooling by a mask (SegNet), or repeated pixels (MobileNet-YOLO)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, CafxError, Layer, Message, at_least, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("upsample_param")
class UpsampleParameter(Message):
    """Options of Upsample; all but scale are for unpooling."""

    scale: int | None = option(1, "uint32", doc="size of top by size of bottom (default: 2 with a mask, else 1)")
    scale_h: int | None = option(2, "uint32", doc="the same for the height alone")
    scale_w: int | None = option(3, "uint32", doc="the same for the width alone")
    pad_out_h: bool = option(4, "bool", False, doc="one row less")
    pad_out_w: bool = option(5, "bool", False, doc="one column less")
    upsample_h: int | None = option(6, "uint32", doc="height of the top, instead of a scale", check=at_least(1))
    upsample_w: int | None = option(7, "uint32", doc="width of the top", check=at_least(1))


class Upsample(Layer):
    """With two bottoms SegNet's unpooling, y[m[i]] = x[i]; with one MobileNet-YOLO's y[h, w] = x[⌊h / s⌋, ⌊w / s⌋].

    Bottoms: x, N×C×H×W; optionally the mask m of a max pooling, of the same shape, whose integers are indices into
    a plane of the top, row by row. Top: N×C×H'×W'; with a mask 0 where no index points. H' is ``upsample_h``; else
    ``scale_h`` H or ``scale`` H, less one row with ``pad_out_h``; W' likewise. Without a mask both are by ``scale``.
    Gradient: dx[i] = dy[m[i]], also where indices are equal, of which the last one has the top's value; or
    the sum of dy over the s×s copies.

    Raises:
        CafxError: a bottom does not have four axes, x and mask differ in shape, an index is not in the top's
            plane, only one of two sizes is set, scale and a scale of one axis are, the top is empty, or there are
            options of unpooling without a mask.

    Source: Badrinarayanan, Kendall and Cipolla, SegNet, 2015; MobileNet-YOLO. The backward pass of SegNet's code fails
    if ``upsample_h`` and ``upsample_w`` are set.
    """

    Parameter = UpsampleParameter
    options: UpsampleParameter
    bottoms = (1, 2)
    integer_bottoms = (1,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check which sizes are set."""
        options, masked = self.options, len(bottom) > 1
        unpooling = [name for name in options.__options__ if name != "scale" and options.has(name)]
        if unpooling and not masked:
            raise self.error(f"{unpooling[0]} needs a mask", expected="a second bottom, the mask of a max pooling")
        for one, other in (("upsample_h", "upsample_w"), ("scale_h", "scale_w")):
            if options.has(one) != options.has(other):
                raise self.error(f"only one of {one} and {other} is set", expected="both or neither")
        sized = options.has("upsample_h")
        if options.has("scale") and options.has("scale_h") and not sized:
            raise self.error("both scale and scale_h are set", expected="one of them")
        scale = (2 if masked else 1) if options.scale is None else options.scale
        self.scales = (scale, scale) if options.scale_h is None else (options.scale_h, options.scale_w or 0)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """As many planes of another size."""
        options, shape = self.options, bottom[0].shape
        if len(shape) != 4:
            raise self.error("wrong number of axes", found=shape_text(shape), expected="N×C×H×W")
        height, width = (size * scale for size, scale in zip(shape[2:], self.scales, strict=True))
        size = (options.upsample_h or height - options.pad_out_h, options.upsample_w or width - options.pad_out_w)
        if min(size) < 1:
            raise self.error("the top is empty", found=shape_text(size), expected="at least 1×1")
        top[0].reshape(*shape[:2], *size)
        if len(bottom) > 1:
            self.require_shape(bottom[1], shape, "the mask")
            self.starts = self.xp.arange(bottom[0].count(0, 2)).reshape(-1, 1) * (size[0] * size[1])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y[m[i]] = x[i], or y[h, w] = x[⌊h / s⌋, ⌊w / s⌋]."""
        x, y = bottom[0].data, top[0].mutable_data
        if len(bottom) > 1:
            y[...] = 0
            y.reshape(-1)[self._indices(bottom, top)] = x.reshape(-1)
            return
        height, width = self.scales
        wide = self.workspace((x.size, width), "repeated columns")
        for column in range(width):
            wide[:, column] = x.reshape(-1)
        y.reshape(-1, height, y.shape[3])[...] = wide.reshape(-1, 1, y.shape[3])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx[i] = dy[m[i]], or Σ dy over the copies."""
        if any(propagate_down[1:]):  # the mask comes from a pooling layer that learns
            bottom[1].synced_diff.zero()
        if not propagate_down[0]:
            return
        dx, dy = bottom[0].mutable_diff, top[0].diff
        if len(bottom) > 1:
            dx[...] = dy.reshape(-1)[self._indices(bottom, top)].reshape(dx.shape)
            return
        (height, width), columns = self.scales, top[0].shape[3]
        rows = self.workspace((dy.size // (height * columns), columns), "summed rows")
        _add(dy.reshape(-1, height, columns).transpose(1, 0, 2), rows)
        _add(rows.reshape(-1, width).T, dx.reshape(-1))

    def _indices(self, bottom: list[Blob], top: list[Blob]) -> Any:
        """The mask as indices into all planes of the top."""
        count = top[0].count(2)

        def error(lowest: float, highest: float) -> CafxError:
            remedy = "set upsample_h and upsample_w to the size of what was pooled"
            found, expected = f"indices from {lowest:g} to {highest:g}", f"0 to {count - 1}"
            return self.error("the mask points out of the top", found=found, expected=expected, remedy=remedy)

        mask = bottom[1].data.reshape(len(self.starts), bottom[1].count(2))
        indices = self.context.checks.indices(mask, count, error, f"{self.name}: mask")
        return (indices + self.starts).reshape(-1)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Unpooling in every way to set the size, and repeated pixels."""
        from cafx.conformance import Bottom, Case

        def mask(shape: tuple[int, ...], pixels: int) -> Bottom:
            def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
                planes = [rng.permutation(pixels)[: shape[2] * shape[3]] for _ in range(shape[0] * shape[1])]
                return np.reshape(np.array(planes, np.float64), shape)

            return Bottom(shape, draw)

        def unpooling(name: str, shape: tuple[int, ...], pixels: int, **options: Any) -> Case:
            return Case(name, shape, mask(shape, pixels), options=options)

        yield unpooling("default", (2, 3, 2, 3), 24)
        yield unpooling("scales", (2, 2, 3, 2), 36, scale_h=2, scale_w=3)
        yield unpooling("less", (2, 2, 3, 2), 15, scale=2, pad_out_h=True, pad_out_w=True)
        yield unpooling("size", (2, 2, 3, 3), 35, upsample_h=5, upsample_w=7)
        yield Case("copies", (2, 3, 4, 5), options={"scale": 3})
        yield Case("once", (2, 3, 2, 4))


def _add(parts: Any, out: Any) -> None:
    """out = Σ parts, one after another: NumPy's sum is slow over an axis this short."""
    out[...] = parts[0]
    for part in parts[1:]:
        out += part
