"""From method and window to a `Pool`, by Caffe's rules."""

from __future__ import annotations

import math

from cafx.kernel import Layer, Phase
from cafx.kernel.blob import shape_text
from cafx_lib_im2col import Window
from cafx_lib_pooling.picking import MaxPool, SamplingPool, WholePlanePool
from cafx_lib_pooling.pool import Pool, Shape
from cafx_lib_pooling.summing import AveragePool, WeightedPool
from cafx_lib_pooling.wide import WideMaxPool


def make_pool(layer: Layer, method: str, window: Window, inputs: Shape, floor: bool = False) -> Pool:
    """The pool for a method and a window.

    Args:
        layer: the layer that pools; errors name it.
        method: ``MAX``, ``AVE`` or ``STOCHASTIC``.
        window: the sliding window.
        inputs: height and width of the planes.
        floor: round the number of outputs down. Otherwise it is rounded up, so the last window may
            overhang; with padding, a window that would start after the image is dropped.

    Raises:
        CafxError: the padding is not smaller than the kernel or is used with STOCHASTIC, there is no
            output, or a window is outside the planes.
    """
    if any(window.pad) and method == "STOCHASTIC":
        found = f"pad {shape_text(window.pad)}"
        raise layer.error("STOCHASTIC pooling does not support padding", found=found, expected="pad 0")
    if any(pad >= kernel for pad, kernel in zip(window.pad, window.kernel, strict=True)):
        raise layer.error(
            "pad is not smaller than the kernel",
            found=f"pad {shape_text(window.pad)}, kernel {shape_text(window.kernel)}",
            expected="a kernel larger than its padding on both axes",
        )
    axes = zip(inputs, window.extent, window.stride, window.pad, strict=True)
    outputs = tuple(_outputs(*axis, any(window.pad), floor) for axis in axes)
    starts = [(o - 1) * s - p for o, s, p in zip(outputs, window.stride, window.pad, strict=True)]
    if min(outputs) < 1 or any(start >= size for start, size in zip(starts, inputs, strict=True)):
        raise layer.error(
            "the window does not fit the planes",
            found=f"planes {shape_text(inputs)}, kernel {shape_text(window.kernel)}, "
            f"stride {shape_text(window.stride)}, pad {shape_text(window.pad)}",
            expected="a window no larger than the padded planes, its last position within them",
            remedy="use a smaller kernel, or round_mode: FLOOR",
        )
    return _pool_class(layer, method, window, inputs, outputs)(layer, window, inputs, outputs)


def _outputs(size: int, extent: int, stride: int, pad: int, padded: bool, floor: bool) -> int:
    span = size + 2 * pad - extent
    count = span // stride + 1 if floor else -(-span // stride) + 1
    return count - 1 if padded and (count - 1) * stride >= size + pad else count


def _pool_class(layer: Layer, method: str, window: Window, inputs: Shape, outputs: Shape) -> type[Pool]:
    if method == "AVE":
        return AveragePool
    if method == "STOCHASTIC":
        return SamplingPool if layer.phase is Phase.TRAIN else WeightedPool
    ends = [k - p for k, p in zip(window.kernel, window.pad, strict=True)]
    covers = all(end >= size for end, size in zip(ends, inputs, strict=True))
    if outputs == (1, 1) and covers and window.dilation == (1, 1):
        return WholePlanePool
    return WideMaxPool if math.prod(window.kernel) > math.prod(inputs) else MaxPool
