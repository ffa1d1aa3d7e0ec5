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
    """Post-op: dst = alg(dst).

    Attributes:
        alg: elementwise function.
        alpha, beta: its parameters.
    """

    alg: Alg
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class SumOp:
    """Post-op: dst = result + scale · previous dst.

    Attributes:
        scale: factor of the previous values.
    """

    scale: float = 1.0


@dataclass(frozen=True)
class BinaryOp:
    """Post-op: dst = alg(dst, other).

    Attributes:
        alg: binary function.
        other: the second operand, which may broadcast; passed at run time as `post_op_arg(i)`, where i is
            the position of the post-op.
    """

    alg: Alg
    other: MemoryDesc


@dataclass(frozen=True)
class PReLUOp:
    """Post-op: dst = max(dst, 0) + slope · min(dst, 0), with one slope per channel.

    The slopes are passed at run time as `post_op_arg(i, Arg.WEIGHTS)`, where i is the position of the post-op.
    """


PostOp = EltwiseOp | SumOp | BinaryOp | PReLUOp
PER_CHANNEL = 1 << 1
"""The mask of the axis of channels."""


@dataclass(frozen=True)
class Attr:
    """Attributes common to all primitives.

    The scratchpad is always provided by the caller, so that all primitives of a net share one.

    Attributes:
        post_ops: operations applied to the result, in order.
        scales: arguments (`Arg`) multiplied by one float32 value, passed at run time as `scale_arg(arg)`.
        fpmath: precision to which float32 operands may be rounded.
    """

    post_ops: Sequence[PostOp] = ()
    scales: Sequence[int] = ()

    def build(self, library: Library, where: str) -> "AttrHandle":
        """Create the attribute object for a primitive.

        Args:
            library: the loaded library.
            where: name of the primitive, for errors.

        Raises:
            DnnlError: oneDNN does not accept an attribute.
        """
        handle = AttrHandle(library, where)
        handle.set("scratchpad_mode", USER_SCRATCHPAD)
        for arg in self.scales:
            handle.set("scales_mask", arg, 0)
        if self.post_ops:
            handle.set_post_ops(self.post_ops)
        return handle


class AttrHandle:
    """oneDNN's attribute object; needed only until the primitive descriptor has been created.

    Args:
        library: the loaded library.
        where: name of the primitive, for errors.
    """

    def __init__(self, library: Library, where: str) -> None:
        self._library = library
        self._where = where
        self.handle = library.create("primitive_attr_create", where)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._library.destroyer("primitive_attr")(self.handle)

    def set(self, what: str, *values: Any) -> None:
        """Set one attribute.

        Args:
            what: name of the attribute.
            values: its values.
        """
        self._library.call(f"primitive_attr_set_{what}", self._where, self.handle, *values)

    def set_post_ops(self, post_ops: Sequence[PostOp]) -> None:
        """Set the post-ops.

        Args:
            post_ops: the post-ops, in order.
        """
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
                    case PReLUOp():
                        library.call("post_ops_append_prelu", where, ops, PER_CHANNEL)
            self.set("post_ops", ops)  # oneDNN copies them
        finally:
            library.destroyer("post_ops")(ops)
