"""The kernel that makes a table of calls."""

from __future__ import annotations

import attrs
import llvmlite.ir as ir

from cafx_lib_llvm import INT, INTS, LANE, Arguments, Emitter, kernel

COLUMNS = 6
"""Numbers of a row: a function's address, its four arguments, and whether its result is a status."""


@attrs.frozen(kw_only=True)
class CallsArguments(Arguments):
    """Arguments of `run_calls`.

    Attributes:
        rows: address of the table.
        count: number of rows, at least 1.
        status: address of two int64: the first status that is not 0, and its row.
    """

    rows: int
    count: int
    status: int


@kernel(CallsArguments)
def run_calls(e: Emitter) -> None:
    """Call each row's function with its arguments."""
    b = e.builder
    rows, status = (b.inttoptr(each, INTS) for each in (e.arguments.rows, e.arguments.status))
    kind = ir.FunctionType(LANE, [INT] * 4).as_pointer()
    with e.loop(e.arguments.count) as loop:
        row = e.at(rows, e.multiply(loop.index, COLUMNS))
        function, *arguments, checked = (e.load_int(row, column) for column in range(COLUMNS))
        result = b.sext(b.call(b.inttoptr(function, kind), arguments), INT)
        failed = b.icmp_signed("!=", b.mul(result, checked), INT(0))
        first = b.icmp_signed("==", b.load(status), INT(0))
        with e.if_then(b.and_(failed, first)):
            b.store(result, status)
            b.store(loop.index, e.at(status, 1))
