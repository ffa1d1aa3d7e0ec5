"""Kernels that work value by value and treat NaN and infinities as NumPy does, unlike oneDNN's."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from cafx_lib_llvm import LANES, Arguments, Emitter, Value
from cafx_lib_llvm.emitter import BFLOAT16_BYTES, FLOAT_BYTES

from .api.constants import DataType
from .operands import Bindable
from .recurrent.functions import tanh
from .winograd.finite import Finite, keep_unless_zero, leaky
from .winograd.program import Cells, Region, Scratch, Tasks, pointer, task_kernel
from .winograd.tiling import split

TASKS_PER_THREAD = 4
FEWEST_VECTORS = 256
"""Less is not worth a task of its own."""


@attrs.frozen(kw_only=True)
class ValuewiseArguments(Arguments):
    """Arguments of `valuewise`.

    Attributes:
        first, second, result: operands and result; functions of one operand ignore the second.
        alpha, beta: constants of the function.
        start: the first vector.
        vectors: how many whole ones.
        rest: values behind them.
    """

    first: Region
    second: Region
    result: Region
    alpha: float
    beta: float
    start: int
    vectors: int
    rest: int


class Constants:
    """The constants of a function, in all lanes."""

    def __init__(self, e: Emitter) -> None:
        b, self.zero, self.one = e.builder, e.constant(0), e.constant(1)
        self.alpha, self.beta = e.splat(e.arguments.alpha), e.splat(e.arguments.beta)
        self.kept = keep_unless_zero(e, self.alpha)
        self.select, self.compare = b.select, b.fcmp_ordered


def relu(e: Emitter, c: Constants, x: Value, _: Value) -> Value:
    """max(x, 0) + alpha · min(x, 0)."""
    return leaky(e, x, c.alpha, c.kept)


def relu_of_sum(e: Emitter, c: Constants, x: Value, y: Value) -> Value:
    """`relu` of x + y."""
    return leaky(e, e.builder.fadd(x, y), c.alpha, c.kept)


def relu_gradient(e: Emitter, c: Constants, x: Value, dy: Value) -> Value:
    """dy · (1 where x > 0, alpha where x ≤ 0, 0 where x is NaN)."""
    below = c.select(c.compare("<=", x, c.zero), c.alpha, c.zero)
    return e.builder.fmul(dy, c.select(c.compare(">", x, c.zero), c.one, below))


def clip(e: Emitter, c: Constants, x: Value, _: Value) -> Value:
    """min(max(x, alpha), beta)."""
    raised = c.select(c.compare("<", x, c.alpha), c.alpha, x)
    return c.select(c.compare(">", raised, c.beta), c.beta, raised)


def clip_gradient(e: Emitter, c: Constants, x: Value, dy: Value) -> Value:
    """dy · (1 where alpha ≤ x ≤ beta, else 0)."""
    inside = e.builder.and_(c.compare(">=", x, c.alpha), c.compare("<=", x, c.beta))
    return e.builder.fmul(dy, c.select(inside, c.one, c.zero))


def inside_gradient(e: Emitter, c: Constants, x: Value, dy: Value) -> Value:
    """dy · (1 where alpha < x < beta, else 0)."""
    inside = e.builder.and_(c.compare(">", x, c.alpha), c.compare("<", x, c.beta))
    return e.builder.fmul(dy, c.select(inside, c.one, c.zero))


def abs_gradient(e: Emitter, c: Constants, x: Value, dy: Value) -> Value:
    """dy · sign(x)."""
    below = c.select(c.compare("<", x, c.zero), e.constant(-1), x)
    return e.builder.fmul(dy, c.select(c.compare(">", x, c.zero), c.one, below))


def elu_gradient(e: Emitter, c: Constants, y: Value, dy: Value) -> Value:
    """dy · (1 where y > 0, else y + alpha)."""
    return e.builder.fmul(dy, c.select(c.compare(">", y, c.zero), c.one, e.builder.fadd(y, c.alpha)))


def tanh_of(e: Emitter, _: Constants, x: Value, __: Value) -> Value:
    """tanh x."""
    return tanh(e, x)


def tanh_gradient(e: Emitter, c: Constants, x: Value, dy: Value) -> Value:
    """dy · (1 - tanh² x)."""
    y = tanh(e, x)
    return e.builder.fmul(dy, e.builder.fsub(c.one, e.builder.fmul(y, y)))


Function = Callable[[Emitter, Constants, Value, Value], Value]
FUNCTIONS: dict[str, Function] = {
    each.__name__: each
    for each in (relu, relu_of_sum, relu_gradient, clip, clip_gradient, inside_gradient, abs_gradient, elu_gradient)
} | {"tanh": tanh_of, "tanh_gradient": tanh_gradient}


@task_kernel(ValuewiseArguments)
def valuewise(e: Emitter, function: str, bfloat16: bool = False) -> None:
    """A range of ``result = function(first, second)``.

    Args:
        e: the kernel being written.
        function: its name, a key of `FUNCTIONS`.
        bfloat16: whether the values are bfloat16.
    """
    args, constants, apply = e.arguments, Constants(e), FUNCTIONS[function]
    first, second, result = (pointer(e, each, bfloat16=bfloat16) for each in (args.first, args.second, args.result))
    begin = e.multiply(args.start, LANES)
    with e.loop(args.vectors, may_be_empty=True) as loop:
        at = e.add(begin, e.multiply(loop.index, LANES))
        e.store(apply(e, constants, e.load(first, at), e.load(second, at)), result, at)
    with e.if_then(e.builder.icmp_signed(">", args.rest, e.integer(0))):
        at = e.add(begin, e.multiply(args.vectors, LANES))
        left, right, out = (e.allocate(1, bfloat16=bfloat16, zero=True) for _ in range(3))
        for source, target in ((first, left), (second, right)):
            _copy(e, e.at(source, at), target)
        e.store(apply(e, constants, e.load(left), e.load(right)), out)
        _copy(e, out, e.at(result, at))


def _copy(e: Emitter, source: Value, target: Value) -> None:
    """Copy the values behind the last whole vector."""
    with e.loop(e.arguments.rest) as loop:
        e.builder.store(e.builder.load(e.at(source, loop.index)), e.at(target, loop.index))


@task_kernel(ValuewiseArguments)
def look(e: Emitter, bfloat16: bool = False) -> None:
    """Set the int64 that ``result`` points at to 1 if one of a range of values is not finite, or huge."""
    args, finite = e.arguments, Finite(e)
    first = pointer(e, args.first, bfloat16=bfloat16)
    begin = e.multiply(args.start, LANES)
    with e.loop(args.vectors, may_be_empty=True) as loop:
        finite.check([e.load(first, e.add(begin, e.multiply(loop.index, LANES)))])
    with e.if_then(e.builder.icmp_signed(">", args.rest, e.integer(0))):
        last = e.allocate(1, bfloat16=bfloat16, zero=True)
        _copy(e, e.at(first, begin, e.multiply(args.vectors, LANES)), last)
        finite.check([e.load(last)])
    finite.report(args.result.cell)


def search(memory: Bindable, *, threads: int, scratch: Scratch) -> Tasks:
    """A search for values that are not finite; see `Tasks.met_not_finite`.

    Args:
        memory: where to look.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    not_finite = np.zeros(1, np.int64)
    cells, bfloat16 = Cells(), memory.desc.dtype == DataType.BF16
    region, flag = Region(cells.of(memory)), Region(int(not_finite.ctypes.data))
    operands = {"first": region, "second": region, "result": flag, "alpha": 0.0, "beta": 0.0}
    tasks = [
        [look(bfloat16).call(ValuewiseArguments(**operands, start=start, vectors=count, rest=rest))]
        for start, count, rest in _ranges(memory, threads)
    ]
    used = min(threads, len(tasks))
    return Tasks(used, cells, scratch("valuewise.threads", threads), [tasks], not_finite=not_finite)


def tasks_for(vectors: int, threads: int) -> int:
    """Number of tasks into which work on vectors is best divided."""
    return min(TASKS_PER_THREAD * threads, max(1, vectors // FEWEST_VECTORS))


def _ranges(memory: Bindable, threads: int) -> list[tuple[int, int, int]]:
    """The tasks: first vector, whole vectors, and values behind them."""
    size = BFLOAT16_BYTES if memory.desc.dtype == DataType.BF16 else FLOAT_BYTES
    vectors, rest = divmod(memory.desc.size // size, LANES)
    ranges = list(split(vectors, tasks_for(vectors, threads))) if vectors else [(0, 0)]
    return [(start, count, rest if (start, count) == ranges[-1] else 0) for start, count in ranges]


def program(
    function: str,
    memory: tuple[Bindable, Bindable, Bindable],
    constants: tuple[float, float],
    *,
    threads: int,
    scratch: Scratch,
) -> Tasks:
    """``result = function(first, second)`` over all bytes of the operands, padding included.

    Args:
        function: its name, a key of `FUNCTIONS`.
        memory: first, second and result, all in one layout.
        constants: alpha and beta.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    cells, bfloat16 = Cells(), memory[0].desc.dtype == DataType.BF16
    first, second, result = (Region(cells.of(each)) for each in memory)
    kernel = valuewise(function, bfloat16)
    alpha, beta = constants
    operands = {"first": first, "second": second, "result": result, "alpha": alpha, "beta": beta}
    tasks = [
        [kernel.call(ValuewiseArguments(**operands, start=start, vectors=count, rest=rest))]
        for start, count, rest in _ranges(memory[0], threads)
    ]
    used = min(threads, len(tasks))
    return Tasks(used, cells, scratch("valuewise.threads", threads), [tasks])
