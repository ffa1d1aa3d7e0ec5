"""From a method and a window to a pool, by Caffe's rules."""

from __future__ import annotations

from cafx.kernel import Layer, Phase
from cafx.kernel.blob import shape_text
from cafx_layer_im2col import Window
from cafx_layer_pooling.picking import MaxPool, SamplingPool, WholePlanePool
from cafx_layer_pooling.pool import Pool, Shape
from cafx_layer_pooling.summing import AveragePool, WeightedPool


def make_pool(layer: Layer, method: str, window: Window, inputs: Shape, floor: bool = False) -> Pool:
    """The pool for a method (MAX, AVE or STOCHASTIC) over planes of ``inputs``.

    There is a last window that hangs over the edge, unless ``floor``; with pad, none that begins
    behind the image.

    Raises:
        CafxError: pad not smaller than the kernel, or with STOCHASTIC; no window, or one that sees nothing.
    """
    if any(window.pad) and method == "STOCHASTIC":
        found = f"pad {shape_text(window.pad)}"
        raise layer.error("STOCHASTIC pooling takes no pad", found=found, expected="pad 0")
    if any(pad >= kernel for pad, kernel in zip(window.pad, window.kernel, strict=True)):
        raise layer.error(
            "pad is not smaller than the kernel",
            found=f"pad {shape_text(window.pad)}, kernel {shape_text(window.kernel)}",
            expected="a kernel larger than its pad on both axes",
        )
    axes = zip(inputs, window.kernel, window.stride, window.pad, strict=True)
    outputs = tuple(_positions(*axis, any(window.pad), floor) for axis in axes)
    starts = [(o - 1) * s - p for o, s, p in zip(outputs, window.stride, window.pad, strict=True)]
    if min(outputs) < 1 or any(start >= size for start, size in zip(starts, inputs, strict=True)):
        raise layer.error(
            "the window does not fit the planes",
            found=f"planes {shape_text(inputs)}, kernel {shape_text(window.kernel)}, "
            f"stride {shape_text(window.stride)}, pad {shape_text(window.pad)}",
            expected="a window no larger than the padded planes, its last position not behind them",
            remedy="a smaller kernel, or round_mode: FLOOR",
        )
    return _kind(layer, method, window, inputs, outputs)(layer, window, inputs, outputs)


def _positions(size: int, kernel: int, stride: int, pad: int, padded: bool, floor: bool) -> int:
    span = size + 2 * pad - kernel
    count = span // stride + 1 if floor else -(-span // stride) + 1
    return count - 1 if padded and (count - 1) * stride >= size + pad else count


def _kind(layer: Layer, method: str, window: Window, inputs: Shape, outputs: Shape) -> type[Pool]:
    if method == "AVE":
        return AveragePool
    if method == "STOCHASTIC":
        return SamplingPool if layer.phase is Phase.TRAIN else WeightedPool
    reach = [k - p for k, p in zip(window.kernel, window.pad, strict=True)]
    covers = all(end >= size for end, size in zip(reach, inputs, strict=True))
    return WholePlanePool if outputs == (1, 1) and covers else MaxPool
