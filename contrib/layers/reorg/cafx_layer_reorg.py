"""Reorg: blocks of pixels moved to channels and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case

BLOCKS_FIRST = (0, 3, 5, 1, 2, 4)
"""Order of axes that makes N×K×H×s×W×s an array of shape N×s×s×K×H×W."""


@message("reorg_param")
class ReorgParameter(Message):
    """Options of Reorg."""

    stride: int = option(1, "uint32", 0, doc="s, side of a block of pixels; must be set")
    reverse: bool = option(2, "bool", False, doc="move channels to blocks of pixels")


class Reorg(Layer):
    """Reorders values as darknet does: B[n, i, j, k, h, w] = P[n, k, h s + i, w s + j], i, j < s.

    The bottom is N×C×H×W; with K = C / s², P are values in the order N×K×(H s)×(W s), B those in the order
    N×s×s×K×H×W. With ``reverse``, the bottom is B, and the top is P, of that shape: every s² channels become blocks
    of s×s pixels. Else the bottom is read as P, in its own order, and the top is B, of the shape
    N×(C s²)×(H / s)×(W / s). The second undoes the first, but does not move blocks of the bottom's own pixels.
    Gradient: dy in the opposite order.

    Raises:
        CafxError: the bottom does not have four axes, ``stride`` is not set, or it does not divide height and width
            (without ``reverse``), or its square not the number of channels.

    Source: Redmon and Farhadi, YOLO9000, 2016; MobileNet-YOLO, whose backward pass on the CPU gives 0.
    """

    Parameter = ReorgParameter
    options: ReorgParameter

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """As many values in another shape."""
        shape, s = bottom[0].shape, self.options.stride
        if not s:
            raise self.error("stride is missing", expected="reorg_param { stride: … }, at least 1")
        if len(shape) != 4:
            raise self.error("wrong number of axes", found=shape_text(shape), expected="N×C×H×W")
        n, c, h, w = shape
        if c % (s * s):
            raise self.error(
                "channels are not divisible by the square of stride", found=c, expected=f"a multiple of {s * s}"
            )
        if not self.options.reverse and (h % s or w % s):
            raise self.error("stride does not divide the image", found=f"{h}×{w}", expected=f"multiples of {s}")
        channels = c // (s * s)
        self.pixels, self.blocks = (n, channels, h, s, w, s), (n, s, s, channels, h, w)
        top[0].reshape(*((n, channels, h * s, w * s) if self.options.reverse else (n, c * s * s, h // s, w // s)))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top's values in their order."""
        self._reorder(bottom[0].data, top[0].mutable_data, to_pixels=self.options.reverse)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The opposite order."""
        if propagate_down[0]:
            self._reorder(top[0].diff, bottom[0].mutable_diff, to_pixels=not self.options.reverse)

    def _reorder(self, source: Any, target: Any, *, to_pixels: bool) -> None:
        if to_pixels:
            target.reshape(self.pixels).transpose(BLOCKS_FIRST)[...] = source.reshape(self.blocks)
        else:
            target.reshape(self.blocks)[...] = source.reshape(self.pixels).transpose(BLOCKS_FIRST)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both directions, two strides, and stride 1."""
        from cafx.conformance import Case

        yield Case("to_channels", (2, 8, 4, 6), options={"stride": 2})
        yield Case("to_pixels", (2, 18, 3, 2), options={"stride": 3, "reverse": True})
        yield Case("nothing_moves", (2, 3, 2, 3), options={"stride": 1, "reverse": False})
