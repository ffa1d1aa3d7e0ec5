"""Primitives that normalise: local response, batch normalisation, softmax."""

from ..api.attributes import Attr
from ..api.constants import Alg, Norm, Prop
from ..api.library import load
from ..api.memory import MemoryDesc
from ..api.primitives import PrimitiveDesc


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
    """dst = src (k + alpha/n sum src^2)^-beta, n = size or size^2. Args: SRC, DST, WORKSPACE."""
    prop = Prop.FORWARD_TRAINING if training else Prop.FORWARD_INFERENCE
    where = f"{alg.name.lower()} forward of {src!r} size {size}"
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
    """Args: SRC, DIFF_DST, DIFF_SRC, WORKSPACE."""
    where = f"{alg.name.lower()} backward of {src!r} size {size}"
    descs = diff_src.handle, diff_dst.handle, src.handle
    head = "lrn_backward", where, load().engine, alg
    return PrimitiveDesc(*head, *descs, size, alpha, beta, k, attr=attr, hint=forward)


def batch_norm_forward(
    src: MemoryDesc, dst: MemoryDesc, epsilon: float, flags: Norm, *, training: bool = True, attr: Attr | None = None
) -> PrimitiveDesc:
    """dst = scale (src - mean) / sqrt(variance + epsilon) + shift, per channel.

    MEAN and VARIANCE (biased) are written in training, read with `Norm.GLOBAL_STATS`. Args: SRC,
    DST, MEAN, VARIANCE, SCALE, SHIFT, and WORKSPACE with `Norm.FUSE_RELU` in training.
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
    """Args: SRC, MEAN, VARIANCE, DIFF_DST, SCALE, WORKSPACE, DIFF_SRC, DIFF_SCALE, DIFF_SHIFT."""
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
    """Softmax, or its logarithm, along an axis. Args: SRC, DST."""
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
    """Args: DST, DIFF_DST, DIFF_SRC."""
    where = f"softmax backward of {dst!r} along axis {axis}"
    descs = diff_src.handle, diff_dst.handle, dst.handle, axis
    return PrimitiveDesc("softmax_backward", where, load().engine, alg, *descs, attr=attr, hint=forward)
