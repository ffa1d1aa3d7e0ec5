"""Windows of ONNX nodes as options of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from cafx_lib_onnx import Importer

IMAGE_AXES = 2


@attrs.frozen
class NodeWindow:
    """The window of a Conv, ConvTranspose or pooling node, one value per spatial axis.

    Attributes:
        kernel, stride, dilation: as in the layers.
        start, end: padding before and after.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    start: tuple[int, ...]
    end: tuple[int, ...]

    @classmethod
    def of(cls, context: Importer, kernel: Sequence[int]) -> NodeWindow:
        """The window of a node.

        Args:
            context: the node.
            kernel: its kernel.

        Raises:
            NoLayerForm: padding that is chosen automatically for a transposed convolution.
        """
        axes = len(kernel)
        stride = tuple(context.attribute("strides", [1] * axes))
        dilation = tuple(context.attribute("dilations", [1] * axes))
        pads = list(context.attribute("pads", [0] * 2 * axes))
        automatic = context.attribute("auto_pad", "NOTSET")
        if automatic.startswith("SAME"):
            pads = _same(context, kernel, stride, dilation, automatic == "SAME_UPPER")
        elif automatic == "VALID":
            pads = [0] * 2 * axes
        if not len(stride) == len(dilation) == axes or len(pads) != 2 * axes or min(pads, default=0) < 0:
            raise context.unsupported("a window with another number of axes, or negative padding")
        return cls(tuple(kernel), stride, dilation, tuple(pads[:axes]), tuple(pads[axes:]))


def _same(context: Importer, kernel: Sequence[int], stride: Any, dilation: Any, upper: bool) -> list[int]:
    """The padding that makes a top of the size bottom / stride, rounded up."""
    if context.op == "ConvTranspose":
        raise context.unsupported("auto_pad")
    pairs = []
    for size, k, s, d in zip(context.shape()[2:], kernel, stride, dilation, strict=True):
        total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if upper else (large, small))
    return [pair[0] for pair in pairs] + [pair[1] for pair in pairs]


def shortened(values: Sequence[int]) -> list[int]:
    """One value if all are equal, as in Caffe's own files."""
    return list(values[:1]) if len(set(values)) == 1 else list(values)


def set_pair(options: Any, name: str, stem: str, values: Sequence[int], default: int | None = None) -> None:
    """Set an option for height and width alike, or for each.

    Args:
        options: the options' message.
        name: the option for both, such as ``kernel_size``.
        stem: the beginning of the options for each, such as ``kernel``.
        values: height and width.
        default: a value that needs no option.
    """
    if len(set(values)) > 1:
        setattr(options, f"{stem}_h", values[0])
        setattr(options, f"{stem}_w", values[1])
    elif values[0] != default:
        setattr(options, name, values[0])
