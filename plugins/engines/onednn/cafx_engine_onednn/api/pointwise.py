"""Elementwise primitives, reductions, and primitives that move data."""

from collections.abc import Sequence
from ctypes import c_float, c_void_p

from ..api.attributes import Attr
from ..api.constants import Alg, Prop
from ..api.library import load
from ..api.memory import MemoryDesc, handle_of
from ..api.primitives import PrimitiveDesc


def eltwise_forward(
    alg: Alg,
    src: MemoryDesc,
    dst: MemoryDesc,
    alpha: float = 0.0,
    beta: float = 0.0,
    *,
    training: bool = True,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """dst = alg(src), optionally in place. Run-time arguments: SRC, DST.

    Args:
        alg: elementwise function.
        alpha, beta: its parameters.
    """
    prop = Prop.FORWARD_TRAINING if training else Prop.FORWARD_INFERENCE
    where = f"{alg.name.lower()} forward of {src!r}"
    arguments = src.handle, dst.handle, alpha, beta
    return PrimitiveDesc("eltwise_forward", where, load().engine, prop, alg, *arguments, attr=attr)


def eltwise_backward(
    alg: Alg,
    diff_src: MemoryDesc,
    diff_dst: MemoryDesc,
    data: MemoryDesc,
    forward: PrimitiveDesc,
    alpha: float = 0.0,
    beta: float = 0.0,
    *,
    attr: Attr | None = None,
) -> PrimitiveDesc:
    """Input gradient of `eltwise_forward`, optionally in place.

    Run-time arguments: SRC (DST for algorithms ``*_DST``), DIFF_DST, DIFF_SRC.

    Args:
        data: descriptor of SRC or DST.
        alg, alpha, beta: as for `eltwise_forward`.
    """
    where = f"{alg.name.lower()} backward of {data!r}"
    descs = diff_src.handle, diff_dst.handle, data.handle
    arguments = *descs, alpha, beta
    return PrimitiveDesc("eltwise_backward", where, load().engine, alg, *arguments, attr=attr, hint=forward)


def prelu_forward(src: MemoryDesc, weights: MemoryDesc, dst: MemoryDesc) -> PrimitiveDesc:
    """dst = max(src, 0) + weights · min(src, 0), optionally in place. Run-time arguments: SRC, WEIGHTS, DST.

    Args:
        src: the operand.
        weights: the slopes; axes of length 1 are broadcast.
        dst: the result.
    """
    descs = src.handle, weights.handle, dst.handle
    return PrimitiveDesc("prelu_forward", f"prelu of {src!r}", load().engine, Prop.FORWARD_INFERENCE, *descs)


def binary(alg: Alg, a: MemoryDesc, b: MemoryDesc, dst: MemoryDesc, *, attr: Attr | None = None) -> PrimitiveDesc:
    """dst = alg(a, b); dst may be a. Run-time arguments: SRC (a), SRC_1 (b), DST.

    Args:
        alg: binary function.
        a: first operand.
        b: second operand; its axes of length 1 are broadcast.
    """
    where = f"{alg.name.lower()} of {a!r} and {b!r}"
    descs = a.handle, b.handle, dst.handle
    return PrimitiveDesc("binary", where, load().engine, alg, *descs, attr=attr)


def _descs(sources: Sequence[MemoryDesc]) -> object:
    return (c_void_p * len(sources))(*(desc.handle.value for desc in sources))


def weighted_sum(
    sources: Sequence[MemoryDesc], scales: Sequence[float], dst: MemoryDesc | None = None, *, attr: Attr | None = None
) -> PrimitiveDesc:
    """dst = Σ scales[i] · sources[i]. Run-time arguments: source_arg(i), DST.

    Args:
        sources: the operands.
        scales: factor of each operand.
        dst: None to let oneDNN choose the layout.
    """
    where = f"sum of {len(sources)} {sources[0]!r}"
    counted = len(sources), (c_float * len(scales))(*scales), _descs(sources)
    return PrimitiveDesc("sum", where, load().engine, handle_of(dst), *counted, attr=attr)


def concat(
    sources: Sequence[MemoryDesc], axis: int, dst: MemoryDesc | None = None, *, attr: Attr | None = None
) -> PrimitiveDesc:
    """Concatenate along an axis. Run-time arguments: source_arg(i), DST.

    Args:
        sources: the operands.
        axis: the axis.
        dst: None to let oneDNN choose the layout.
    """
    where = f"concat of {len(sources)} {sources[0]!r} along axis {axis}"
    descs = len(sources), axis, _descs(sources)
    return PrimitiveDesc("concat", where, load().engine, handle_of(dst), *descs, attr=attr)


def reorder(src: MemoryDesc, dst: MemoryDesc, *, attr: Attr | None = None) -> PrimitiveDesc:
    """Convert between layouts or element types. Run-time arguments: SRC, DST."""
    engine = load().engine
    arguments = src.handle, engine, dst.handle, engine
    return PrimitiveDesc("reorder", f"reorder of {src!r} to {dst!r}", *arguments, attr=attr)


def reduction(alg: Alg, src: MemoryDesc, dst: MemoryDesc, *, attr: Attr | None = None) -> PrimitiveDesc:
    """Reduce the axes that have length 1 in dst. Run-time arguments: SRC, DST.

    Args:
        alg: the reduction.
    """
    where = f"{alg.name.lower()} of {src!r} to {dst!r}"
    descs = src.handle, dst.handle, 0.0, 0.0
    return PrimitiveDesc("reduction", where, load().engine, alg, *descs, attr=attr)
