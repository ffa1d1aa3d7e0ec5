"""How kernels are written: functions of whole numbers and vectors of 16 values, in LLVM's language.

A kernel is ``void(int64 *arguments, float *scratch)``. An argument is a number, or a *cell*: the address
at which the address of some memory is found when the kernel runs (0 for the thread's scratch memory).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import llvmlite.ir as ir
import numpy as np

from cafx_lib_llvm import build

BLOCK = 16
INT, FLOAT, LANE = ir.IntType(64), ir.FloatType(), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, BLOCK)
HALF = ir.IntType(16)
"""A bfloat16 by its bits: the upper half of a float32's."""
BITS, HALVES = ir.VectorType(LANE, BLOCK), ir.VectorType(HALF, BLOCK)
TO_EVEN, NOT_A_NUMBER = 0x7FFF, 0x7FC0
"""What rounds the lower half to the nearest, and a bfloat16 that is no number."""
FMA = f"llvm.fma.v{BLOCK}f32"
UNALIGNED = 4
_numbers = itertools.count()
Value = Any
"""Of LLVM's language; llvmlite tells no types."""


@attrs.frozen(eq=False)
class Kernel:
    """A compiled kernel and the names of its arguments."""

    address: int
    names: tuple[str, ...]

    def arguments(self, **values: int) -> Any:
        """Its arguments in memory, by name."""
        if values.keys() != set(self.names):
            raise TypeError(f"expected {sorted(self.names)}; received {sorted(values)}")
        return np.array([values[name] for name in self.names], np.int64)


def slope_bits(slope: float | None) -> int:
    """The slope of a unit as an argument, a float32 by its bits; None: without one values pass as they are."""
    return int(struct.unpack("<I", struct.pack("<f", 1.0 if slope is None else slope))[0])


class Emitter:
    """A kernel being written.

    Args:
        names: of its arguments, in order.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        module = self.module = ir.Module()
        kind = ir.FunctionType(ir.VoidType(), [INT.as_pointer(), FLOAT.as_pointer()])
        self._name = f"kernel{next(_numbers)}"
        function = ir.Function(module, kind, self._name)
        self.builder = ir.IRBuilder(function.append_basic_block())
        self.arguments, self._scratch = function.args
        self._fma = ir.Function(module, ir.FunctionType(VECTOR, [VECTOR] * 3), FMA)
        self._entry = self.builder.block
        b = self.builder
        self._numbers = {name: b.load(b.gep(self.arguments, [INT(i)])) for i, name in enumerate(names)}

    def finish(self) -> Kernel:
        """Compile it."""
        self.builder.ret_void()
        return Kernel(build(str(self.module), self._name), self.names)

    def number(self, name: str) -> Value:
        """An argument."""
        return self._numbers[name]

    def scalar(self, name: str) -> Value:
        """An argument that is a float32 by its bits, in all lanes."""
        return self.splat(self.builder.bitcast(self.builder.trunc(self.number(name), LANE), FLOAT))

    def memory(self, name: str, *, half: bool = False) -> Value:
        """What a cell points at, float32 or half of it; the scratch memory where there is no cell."""
        b, cell = self.builder, self.number(name)
        none = b.icmp_signed("==", cell, INT(0))
        found = b.load(b.inttoptr(b.select(none, b.ptrtoint(self.arguments, INT), cell), INT.as_pointer()))
        memory = b.select(none, self._scratch, b.inttoptr(found, FLOAT.as_pointer()))
        return b.bitcast(memory, HALF.as_pointer()) if half else memory

    def room(self, count: int, *, half: bool = False, zero: bool = False) -> Value:
        """Memory for so many vectors on the stack."""
        with self.builder.goto_block(self._entry):
            held = self.builder.alloca(VECTOR, count)
            held.align = BLOCK * UNALIGNED
        pointer = self.builder.bitcast(held, FLOAT.as_pointer())
        for index in range(count if zero else 0):
            self.store(self.constant(0), pointer, INT(index * BLOCK))
        return self.builder.bitcast(held, HALF.as_pointer()) if half else pointer

    def sum(self, *terms: Value) -> Value:
        """Of whole numbers."""
        total = terms[0]
        for each in terms[1:]:
            total = self.builder.add(total, each)
        return total

    def product(self, *factors: Value | int) -> Value:
        """Of whole numbers."""
        total = INT(1)
        for each in factors:
            total = self.builder.mul(total, INT(each) if isinstance(each, int) else each)
        return total

    def at(self, pointer: Value, *offsets: Value) -> Value:
        """A pointer moved by a sum of values."""
        return self.builder.gep(pointer, [self.sum(*offsets)])

    def loop(
        self, count: Value | int, body: Callable[..., Sequence[Value] | None], held: Sequence[Value] = ()
    ) -> list[Value]:
        """``held = body(index, *held)`` for each index below ``count``, which is at least 1."""
        b = self.builder
        before, inside = b.block, b.append_basic_block()
        b.branch(inside)
        b.position_at_end(inside)
        index = b.phi(INT)
        index.add_incoming(INT(0), before)
        phis = [b.phi(value.type) for value in held]
        for phi, value in zip(phis, held, strict=True):
            phi.add_incoming(value, before)
        results = list(body(index, *phis) or ())
        following = b.add(index, INT(1))
        for phi, value in zip([index, *phis], [following, *results], strict=True):
            phi.add_incoming(value, b.block)
        after = b.append_basic_block()
        limit = INT(count) if isinstance(count, int) else count
        b.cbranch(b.icmp_signed("<", following, limit), inside, after)
        b.position_at_end(after)
        return results

    def all(self, *conditions: Value) -> Value:
        """Whether all hold."""
        total = conditions[0]
        for each in conditions[1:]:
            total = self.builder.and_(total, each)
        return total

    def within(self, index: Value, limit: Value) -> Value:
        """Whether 0 ≤ index < limit."""
        return self.builder.icmp_unsigned("<", index, limit)

    def load(self, pointer: Value, *offsets: Value) -> Value:
        """A vector."""
        b = self.builder
        where = self.at(pointer, *offsets) if offsets else pointer
        if where.type.pointee == FLOAT:
            return self._loaded(where, VECTOR)
        high = b.zext(self._loaded(where, HALVES), BITS)
        return b.bitcast(b.shl(high, ir.Constant(BITS, [16] * BLOCK)), VECTOR)

    def _loaded(self, where: Value, kind: Value) -> Value:
        value = self.builder.load(self.builder.bitcast(where, kind.as_pointer()))
        value.align = 2 if kind is HALVES else UNALIGNED
        return value

    def store(self, value: Value, pointer: Value, *offsets: Value) -> None:
        """A vector to its place, rounded to the nearest if that is for halves."""
        b = self.builder
        where = self.at(pointer, *offsets) if offsets else pointer
        half = where.type.pointee == HALF
        kind = HALVES if half else VECTOR
        stored = self._halved(value) if half else value
        b.store(stored, b.bitcast(where, kind.as_pointer())).align = 2 if half else UNALIGNED

    def _halved(self, value: Value) -> Value:
        """The nearest bfloat16, the even one of two."""
        b = self.builder

        def all_of(number: int, kind: Value = BITS) -> Value:
            return ir.Constant(kind, [number] * BLOCK)

        whole = b.bitcast(value, BITS)
        odd = b.and_(b.lshr(whole, all_of(16)), all_of(1))
        rounded = b.trunc(b.lshr(b.add(whole, b.add(odd, all_of(TO_EVEN))), all_of(16)), HALVES)
        return b.select(b.fcmp_unordered("uno", value, value), all_of(NOT_A_NUMBER, HALVES), rounded)

    def constant(self, value: float) -> Value:
        """The same value in all lanes."""
        return ir.Constant(VECTOR, [float(np.float32(value))] * BLOCK)

    def splat(self, value: Value) -> Value:
        """A scalar in all lanes."""
        none = ir.Constant(VECTOR, ir.Undefined)
        lanes = ir.Constant(ir.VectorType(LANE, BLOCK), [0] * BLOCK)
        return self.builder.shuffle_vector(self.builder.insert_element(none, value, LANE(0)), none, lanes)

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        """left · right + addend, rounded once."""
        return self.builder.call(self._fma, [left, right, addend])

    def total(self, value: Value) -> Value:
        """The sum of a vector's lanes."""
        width = BLOCK
        while width := width // 2:
            lanes = [(i + width) % BLOCK for i in range(BLOCK)]
            value = self.builder.fadd(value, self._shuffled(value, value, lanes))
        return self.builder.extract_element(value, LANE(0))

    def transposed(self, rows: Sequence[Value]) -> list[Value]:
        """16 vectors of 16, rows and columns exchanged."""
        found, width = list(rows), BLOCK // 2
        while width:
            low = [i if not i & width else i - width + BLOCK for i in range(BLOCK)]
            high = [i + width if not i & width else i + BLOCK for i in range(BLOCK)]
            for i in range(BLOCK):
                if not i & width:
                    pair = found[i], found[i + width]
                    found[i], found[i + width] = (self._shuffled(*pair, lanes) for lanes in (low, high))
            width //= 2
        return found

    def _shuffled(self, one: Value, other: Value, lanes: Sequence[int]) -> Value:
        return self.builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(LANE, BLOCK), lanes))
