"""Normalisation primitives: local response normalisation, batch normalisation, softmax."""

from ..api.attributes import Attr
from ..api.constants import Alg, Norm, Prop
from ..api.library import DnnlError, load
from ..api.memory import MemoryDesc
from ..api.primitives import PrimitiveDesc

SMALLEST_REGION = 3
"""For less, making the backward pass of oneDNN's channels-last kernels ends the process."""


def _check_region(where: str, size: int) -> None:
    if size < SMALLEST_REGION:
        raise DnnlError(where, f"a region of {size}", f"at least {SMALLEST_REGION}")


def lrn_forward(
    alg: Alg,
    src: MemoryDesc,
    dst: MemoryDesc,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    *,
    training: bool = True,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """dst = src · (k + alpha / n · Σ src²)^−beta, the sum over a region of n values.

    Run-time arguments: SRC, DST, WORKSPACE.

    Args:
        alg: region across channels (n = size) or within a channel (n = size²).
        size: channels, or rows and columns, of the region.
        alpha, beta, k: parameters of the formula.

    Raises:
        DnnlError: the region is smaller than oneDNN can compute, or there is no implementation.
    """
    prop = Prop.FORWARD_TRAINING if training else Prop.FORWARD_INFERENCE
    where = f"{alg.name.lower()} forward of {src!r} size {size}"
    _check_region(where, size)
    descs = src.handle, dst.handle
    head = "lrn_forward", where, load().engine, prop, alg
    return PrimitiveDesc(*head, *descs, size, alpha, beta, k, attr=attr)


def lrn_backward(
    alg: Alg,
    diff_src: MemoryDesc,
    diff_dst: MemoryDesc,
    src: MemoryDesc,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    forward: PrimitiveDesc,
    *,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """Input gradient of `lrn_forward`. Run-time arguments: SRC, DIFF_DST, DIFF_SRC, WORKSPACE."""
    where = f"{alg.name.lower()} backward of {src!r} size {size}"
    _check_region(where, size)
    descs = diff_src.handle, diff_dst.handle, src.handle
    head = "lrn_backward", where, load().engine, alg
    return PrimitiveDesc(*head, *descs, size, alpha, beta, k, attr=attr, hint=forward)


def batch_norm_forward(
    src: MemoryDesc, dst: MemoryDesc, epsilon: float, flags: Norm, *, training: bool = True, attr: Attr | None = None
) -> PrimitiveDesc:
    """dst = scale · (src − mean) / √(variance + epsilon) + shift, per channel.

    Run-time arguments: SRC, DST, SCALE, SHIFT; MEAN and (biased) VARIANCE, which are read with
    `Norm.GLOBAL_STATS` and otherwise written in training; WORKSPACE in training with `Norm.FUSE_RELU`.

    Args:
        epsilon: added to the variance for numerical stability.
        flags: source of the statistics, scale, shift and fused ReLU.
    """
    prop = Prop.FORWARD_TRAINING if training else Prop.FORWARD_INFERENCE
    where = f"batch normalization forward of {src!r}"
    descs = src.handle, dst.handle
    head = "batch_normalization_forward", where, load().engine, prop
    return PrimitiveDesc(*head, *descs, epsilon, flags, attr=attr)


def batch_norm_backward(
    diff_src: MemoryDesc,
    diff_dst: MemoryDesc,
    src: MemoryDesc,
    epsilon: float,
    flags: Norm,
    forward: PrimitiveDesc,
    *,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """Gradients of `batch_norm_forward`.

    Run-time arguments: SRC, MEAN, VARIANCE, DIFF_DST, SCALE, WORKSPACE, DIFF_SRC, DIFF_SCALE, DIFF_SHIFT.

    Args:
        epsilon, flags: as for `batch_norm_forward`.
    """
    where = f"batch normalization backward of {src!r}"
    descs = diff_src.handle, diff_dst.handle, src.handle
    head = "batch_normalization_backward", where, load().engine, Prop.BACKWARD
    return PrimitiveDesc(*head, *descs, epsilon, flags, attr=attr, hint=forward)


def softmax_forward(
    src: MemoryDesc,
    dst: MemoryDesc,
    axis: int,
    *,
    alg: Alg = Alg.SOFTMAX_ACCURATE,
    training: bool = True,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """Softmax, or its logarithm, along an axis. Run-time arguments: SRC, DST.

    Args:
        axis: the axis.
        alg: softmax or log-softmax.
    """
    prop = Prop.FORWARD_TRAINING if training else Prop.FORWARD_INFERENCE
    where = f"softmax forward of {src!r} along axis {axis}"
    descs = src.handle, dst.handle, axis
    return PrimitiveDesc("softmax_forward", where, load().engine, prop, alg, *descs, attr=attr)


def softmax_backward(
    diff_src: MemoryDesc,
    diff_dst: MemoryDesc,
    dst: MemoryDesc,
    axis: int,
    forward: PrimitiveDesc,
    *,
    alg: Alg = Alg.SOFTMAX_ACCURATE,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """Input gradient of `softmax_forward`. Run-time arguments: DST, DIFF_DST, DIFF_SRC.

    Args:
        axis, alg: as for `softmax_forward`.
    """
    where = f"softmax backward of {dst!r} along axis {axis}"
    descs = diff_src.handle, diff_dst.handle, dst.handle, axis
    return PrimitiveDesc("softmax_backward", where, load().engine, alg, *descs, attr=attr, hint=forward)
