"""Primitives that slide a window: convolution and pooling.

Convolution weights are (out, in, spatial...) or, with groups, (group, out/group, in/group, spatial...).
A deconvolution runs as the gradient of a convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..api.attributes import Attr
from ..api.constants import Alg, Prop
from ..api.library import load
from ..api.memory import MemoryDesc, dims_array, handle_of
from ..api.primitives import PrimitiveDesc


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding window, one value per spatial axis.

    Attributes:
        stride: distance between the windows of neighbouring outputs.
        pad: padding at the start.
        pad_end: padding at the end. Greater than ``pad`` if the last window overhangs (Caffe's ceil mode),
            negative if it leaves a remainder.
        dilation: distance between neighbouring taps (default: 1).
        kernel: kernel size, for pooling only.
    """

    stride: Sequence[int]
    pad: Sequence[int]
    pad_end: Sequence[int]
    dilation: Sequence[int] = ()
    kernel: Sequence[int] = ()

    def __str__(self) -> str:
        parts = [f"stride {_by(self.stride)} pad {_by(self.pad)}"]
        if self.kernel:
            parts.insert(0, f"kernel {_by(self.kernel)}")
        if any(step != 1 for step in self.dilation):
            parts.append(f"dilation {_by(self.dilation)}")
        return " ".join(parts)

    @property
    def _gaps(self) -> list[int]:
        # oneDNN counts skipped elements: one less than the dilation
        return [step - 1 for step in self.dilation or [1] * len(self.stride)]

    def arguments(self) -> tuple[object, ...]:
        """Arguments of the C functions: strides, kernel (if given), dilates, padding_l, padding_r."""
        kernel = (dims_array(self.kernel),) if self.kernel else ()
        rest = dims_array(self._gaps), dims_array(self.pad), dims_array(self.pad_end)
        return dims_array(self.stride), *kernel, *rest


def _by(values: Sequence[int]) -> str:
    return "x".join(map(str, values))


class _Convolution:
    """The three passes of a convolution."""

    def _where(self, what: str, first: MemoryDesc, weights: MemoryDesc, window: Window) -> str:
        return f"convolution {what} of {first!r} with weights {weights!r} {window}"

    def forward(
        self,
        src: MemoryDesc,
        weights: MemoryDesc,
        bias: MemoryDesc | None,
        dst: MemoryDesc,
        window: Window,
        *,
        training: bool = True,
        attr: Attr | None = None,
    ) -> PrimitiveDesc:
        """dst = post_ops(src ⋆ weights + bias). Run-time arguments: SRC, WEIGHTS, BIAS, DST."""
        prop = Prop.FORWARD_TRAINING if training else Prop.FORWARD_INFERENCE
        descs = src.handle, weights.handle, handle_of(bias), dst.handle
        where = self._where("forward", src, weights, window)
        head = "convolution_forward", where, load().engine, prop, Alg.CONVOLUTION_DIRECT
        return PrimitiveDesc(*head, *descs, *window.arguments(), attr=attr)

    def backward_data(
        self,
        diff_src: MemoryDesc,
        weights: MemoryDesc,
        diff_dst: MemoryDesc,
        window: Window,
        forward: PrimitiveDesc,
        *,
        attr: Attr | None = None,
    ) -> PrimitiveDesc:
        """Input gradient of `forward`. Run-time arguments: DIFF_DST, WEIGHTS, DIFF_SRC."""
        descs = diff_src.handle, weights.handle, diff_dst.handle
        where = self._where("backward data", diff_src, weights, window)
        head = "convolution_backward_data", where, load().engine, Alg.CONVOLUTION_DIRECT
        return PrimitiveDesc(*head, *descs, *window.arguments(), attr=attr, hint=forward)

    def backward_weights(
        self,
        src: MemoryDesc,
        diff_weights: MemoryDesc,
        diff_bias: MemoryDesc | None,
        diff_dst: MemoryDesc,
        window: Window,
        forward: PrimitiveDesc,
        *,
        attr: Attr | None = None,
    ) -> PrimitiveDesc:
        """Parameter gradients of `forward`, which are overwritten.

        Run-time arguments: SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS.
        """
        descs = src.handle, diff_weights.handle, handle_of(diff_bias), diff_dst.handle
        where = self._where("backward weights", src, diff_weights, window)
        head = "convolution_backward_weights", where, load().engine, Alg.CONVOLUTION_DIRECT
        return PrimitiveDesc(*head, *descs, *window.arguments(), attr=attr, hint=forward)


convolution = _Convolution()


def pooling_forward(
    alg: Alg, src: MemoryDesc, dst: MemoryDesc, window: Window, *, training: bool = True, attr: Attr | None = None
) -> PrimitiveDesc:
    """Pooling. Run-time arguments: SRC, DST; WORKSPACE for max pooling in training.

    Args:
        alg: maximum, or mean with or without padding.
        window: the sliding window.
    """
    prop = Prop.FORWARD_TRAINING if training else Prop.FORWARD_INFERENCE
    where = f"{alg.name.lower()} forward of {src!r} {window}"
    descs = src.handle, dst.handle
    head = "pooling_forward", where, load().engine, prop, alg
    return PrimitiveDesc(*head, *descs, *window.arguments(), attr=attr)


def pooling_backward(
    alg: Alg,
    diff_src: MemoryDesc,
    diff_dst: MemoryDesc,
    window: Window,
    forward: PrimitiveDesc,
    *,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """Input gradient of `pooling_forward`. Run-time arguments: DIFF_DST, DIFF_SRC; WORKSPACE for max pooling.

    Args:
        alg, window: as for `pooling_forward`.
    """
    where = f"{alg.name.lower()} backward to {diff_src!r} {window}"
    descs = diff_src.handle, diff_dst.handle
    head = "pooling_backward", where, load().engine, alg
    return PrimitiveDesc(*head, *descs, *window.arguments(), attr=attr, hint=forward)
