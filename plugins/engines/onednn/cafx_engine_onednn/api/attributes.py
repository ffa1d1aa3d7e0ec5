"""Options common to all primitives: post-ops, run-time scales, scratchpad."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..api.constants import Alg, DataType
from ..api.library import Library
from ..api.memory import MemoryDesc

USER_SCRATCHPAD = 1


@dataclass(frozen=True)
class EltwiseOp:
    """Post-op: dst = alg(dst)."""

    alg: Alg
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class SumOp:
    """Post-op: dst = result + scale * (what dst held before)."""

    scale: float = 1.0


@dataclass(frozen=True)
class BinaryOp:
    """Post-op: dst = alg(dst, other); `other` may broadcast and is passed as `post_op_arg(i)`."""

    alg: Alg
    other: MemoryDesc


PostOp = EltwiseOp | SumOp | BinaryOp


@dataclass(frozen=True)
class Attr:
    """Options common to all primitives.

    `scales` names the arguments (`Arg`) that are multiplied by a one-element float32 memory given
    at run time as `scale_arg(arg)`. The scratchpad is always the caller's, so that all primitives
    of a net share one.
    """

    post_ops: Sequence[PostOp] = ()
    scales: Sequence[int] = ()

    def build(self, library: Library, where: str) -> "AttrHandle":
        """The attribute object for a primitive."""
        handle = AttrHandle(library, where)
        handle.set("scratchpad_mode", USER_SCRATCHPAD)
        for arg in self.scales:
            handle.set("scales_mask", arg, 0)
        if self.post_ops:
            handle.set_post_ops(self.post_ops)
        return handle


class AttrHandle:
    """oneDNN's attribute object; needed only until the primitive descriptor exists."""

    def __init__(self, library: Library, where: str) -> None:
        self._library = library
        self._where = where
        self.handle = library.create("primitive_attr_create", where)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._library.destroyer("primitive_attr")(self.handle)

    def set(self, what: str, *values: Any) -> None:
        """Set one attribute."""
        self._library.call(f"primitive_attr_set_{what}", self._where, self.handle, *values)

    def set_post_ops(self, post_ops: Sequence[PostOp]) -> None:
        """Set the post-ops, in order."""
        library, where = self._library, self._where
        ops = library.create("post_ops_create", where)
        try:
            for op in post_ops:
                match op:
                    case EltwiseOp(alg, alpha, beta):
                        library.call("post_ops_append_eltwise", where, ops, alg, alpha, beta)
                    case SumOp(scale):
                        library.call("post_ops_append_sum", where, ops, scale, 0, DataType.UNDEF)
                    case BinaryOp(alg, other):
                        library.call("post_ops_append_binary", where, ops, alg, other.handle)
            self.set("post_ops", ops)  # copied by the callee
        finally:
            library.destroyer("post_ops")(ops)
