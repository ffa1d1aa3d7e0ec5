"""The kernel that reads the processor's floating-point flags."""

from __future__ import annotations

import attrs
import llvmlite.ir as ir

from cafx_lib_llvm import BYTES, INT, INTS, LANE, Arguments, Emitter, kernel

INVALID = 1
"""The bit of *invalid operation* in MXCSR."""


@attrs.frozen(kw_only=True)
class FlagArguments(Arguments):
    """Arguments of `collect_flags`.

    Attributes:
        flag: address of what is set to 1.
    """

    flag: int


@kernel(FlagArguments)
def collect_flags(e: Emitter) -> None:
    """Set ``flag`` to 1 if this thread has met an invalid operation, and forget it."""
    b = e.builder
    read, write = (
        ir.Function(e.module, ir.FunctionType(ir.VoidType(), [BYTES]), f"llvm.x86.sse.{name}")
        for name in ("stmxcsr", "ldmxcsr")
    )
    memory = e.allocate(1)
    place, word = b.bitcast(memory, BYTES), b.bitcast(memory, LANE.as_pointer())
    b.call(read, [place])
    status = b.load(word)
    with e.if_then(b.icmp_unsigned("!=", b.and_(status, LANE(INVALID)), LANE(0))):
        b.store(INT(1), b.inttoptr(e.arguments.flag, INTS))
        b.store(b.and_(status, LANE(~INVALID)), word)
        b.call(write, [place])
