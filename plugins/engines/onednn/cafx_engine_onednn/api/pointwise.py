"""Primitives that work element by element or only move data."""

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
    """dst = alg(src); DST may be SRC's memory. Args: SRC, DST."""
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
    """In place: DIFF_SRC is DIFF_DST. Args: SRC (DST for *_DST forms), DIFF_DST, DIFF_SRC."""
    where = f"{alg.name.lower()} backward of {data!r}"
    descs = diff_src.handle, diff_dst.handle, data.handle
    arguments = *descs, alpha, beta
    return PrimitiveDesc("eltwise_backward", where, load().engine, alg, *arguments, attr=attr, hint=forward)


def binary(alg: Alg, a: MemoryDesc, b: MemoryDesc, dst: MemoryDesc, *, attr: Attr | None = None) -> PrimitiveDesc:
    """dst = alg(a, b); axes of length 1 in `b` broadcast; DST may be a's. Args: SRC, SRC_1, DST."""
    where = f"{alg.name.lower()} of {a!r} and {b!r}"
    descs = a.handle, b.handle, dst.handle
    return PrimitiveDesc("binary", where, load().engine, alg, *descs, attr=attr)


def _descs(sources: Sequence[MemoryDesc]) -> object:
    return (c_void_p * len(sources))(*(desc.handle.value for desc in sources))


def weighted_sum(
    sources: Sequence[MemoryDesc], scales: Sequence[float], dst: MemoryDesc | None = None, *, attr: Attr | None = None
) -> PrimitiveDesc:
    """dst = sum of scales[i] sources[i]. Args: source_arg(i), DST."""
    where = f"sum of {len(sources)} {sources[0]!r}"
    counted = len(sources), (c_float * len(scales))(*scales), _descs(sources)
    return PrimitiveDesc("sum", where, load().engine, handle_of(dst), *counted, attr=attr)


def concat(
    sources: Sequence[MemoryDesc], axis: int, dst: MemoryDesc | None = None, *, attr: Attr | None = None
) -> PrimitiveDesc:
    """Sources one after another along an axis. Args: source_arg(i), DST."""
    where = f"concat of {len(sources)} {sources[0]!r} along axis {axis}"
    descs = len(sources), axis, _descs(sources)
    return PrimitiveDesc("concat", where, load().engine, handle_of(dst), *descs, attr=attr)


def reorder(src: MemoryDesc, dst: MemoryDesc, *, attr: Attr | None = None) -> PrimitiveDesc:
    """Copy between layouts or data types. Args: SRC, DST."""
    engine = load().engine
    arguments = src.handle, engine, dst.handle, engine
    return PrimitiveDesc("reorder", f"reorder of {src!r} to {dst!r}", *arguments, attr=attr)


def reduction(alg: Alg, src: MemoryDesc, dst: MemoryDesc, *, attr: Attr | None = None) -> PrimitiveDesc:
    """Reduce the axes that have length 1 in `dst`. Args: SRC, DST."""
    where = f"{alg.name.lower()} of {src!r} to {dst!r}"
    descs = src.handle, dst.handle, 0.0, 0.0
    return PrimitiveDesc("reduction", where, load().engine, alg, *descs, attr=attr)
