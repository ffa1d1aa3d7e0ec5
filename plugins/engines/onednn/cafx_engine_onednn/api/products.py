"""Matrix products: inner product and matmul."""

from ..api.attributes import Attr
from ..api.constants import Prop
from ..api.library import load
from ..api.memory import MemoryDesc, handle_of
from ..api.primitives import PrimitiveDesc


def inner_product_forward(
    src: MemoryDesc,
    weights: MemoryDesc,
    bias: MemoryDesc | None,
    dst: MemoryDesc,
    *,
    training: bool = True,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """dst[n, o] = Σ src[n, …] · weights[o, …] + bias[o]. Run-time arguments: SRC, WEIGHTS, BIAS, DST.

    src may have spatial axes (and a blocked layout), which weights then have too.
    """
    prop = Prop.FORWARD_TRAINING if training else Prop.FORWARD_INFERENCE
    where = f"inner product forward of {src!r} with weights {weights!r}"
    descs = src.handle, weights.handle, handle_of(bias), dst.handle
    return PrimitiveDesc("inner_product_forward", where, load().engine, prop, *descs, attr=attr)


def inner_product_backward_data(
    diff_src: MemoryDesc, weights: MemoryDesc, diff_dst: MemoryDesc, forward: PrimitiveDesc, *, attr: Attr | None = None
) -> PrimitiveDesc:
    """Input gradient of `inner_product_forward`. Run-time arguments: DIFF_DST, WEIGHTS, DIFF_SRC."""
    where = f"inner product backward data to {diff_src!r} with weights {weights!r}"
    descs = diff_src.handle, weights.handle, diff_dst.handle
    return PrimitiveDesc("inner_product_backward_data", where, load().engine, *descs, attr=attr, hint=forward)


def inner_product_backward_weights(
    src: MemoryDesc,
    diff_weights: MemoryDesc,
    diff_bias: MemoryDesc | None,
    diff_dst: MemoryDesc,
    forward: PrimitiveDesc,
    *,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """Parameter gradients of `inner_product_forward`, which are overwritten.

    Run-time arguments: SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS.
    """
    where = f"inner product backward weights of {src!r} to {diff_weights!r}"
    descs = src.handle, diff_weights.handle, handle_of(diff_bias), diff_dst.handle
    return PrimitiveDesc("inner_product_backward_weights", where, load().engine, *descs, attr=attr, hint=forward)


def matmul(
    src: MemoryDesc, weights: MemoryDesc, bias: MemoryDesc | None, dst: MemoryDesc, *, attr: Attr | None = None
) -> PrimitiveDesc:
    """dst[…, m, n] = Σₖ src[…, m, k] · weights[…, k, n] + bias. Run-time arguments: SRC, WEIGHTS, BIAS, DST.

    Swap the strides of an operand to transpose it. bias has as many axes as dst.
    """
    where = f"matmul of {src!r} with {weights!r}"
    descs = src.handle, weights.handle, handle_of(bias), dst.handle
    return PrimitiveDesc("matmul", where, load().engine, *descs, attr=attr)
