"""The builder of kernels: integers, vectors of 16 floats, loops and memory in LLVM IR."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import llvmlite.ir as ir
import numpy as np

from cafx_lib_llvm.arguments import Arguments, fields

LANES = 16
"""Values of a vector."""
FLOAT_BYTES, BFLOAT16_BYTES = 4, 2
VECTOR_BYTES = LANES * FLOAT_BYTES
INT, FLOAT, LANE, BYTE, BFLOAT16 = ir.IntType(64), ir.FloatType(), ir.IntType(32), ir.IntType(8), ir.IntType(16)
"""Types of values. A bfloat16 is stored as its bits, the upper half of those of a float32."""
INTS, FLOATS, BYTES, BFLOAT16S = (each.as_pointer() for each in (INT, FLOAT, BYTE, BFLOAT16))
"""Types of pointers."""
VECTOR = ir.VectorType(FLOAT, LANES)
BITS, BFLOAT16_VECTOR = ir.VectorType(LANE, LANES), ir.VectorType(BFLOAT16, LANES)
MASK = ir.VectorType(ir.IntType(1), LANES)
ROUNDING, NAN = 0x7FFF, 0x7FC0
"""What, added to a float32's bits, rounds the upper half to nearest (ties: plus its last bit); a bfloat16 NaN."""
FMA = f"llvm.fma.v{LANES}f32"
READ, NEAR, DATA_CACHE = 0, 2, 1
"""Of a prefetch: not for writing, into the second level."""
Value = Any
"""A value in LLVM IR; llvmlite has no type annotations."""


def vector_of(kind: Any, lanes: int) -> Any:
    """The type of vectors of any length."""
    return ir.VectorType(kind, lanes)


class Loop:
    """A loop being written.

    Attributes:
        index: number of the iteration, from 0.
        values: the carried values: inside the loop those of the iteration, after the loop the final ones.
    """

    def __init__(self, index: Value, values: Sequence[Value]) -> None:
        self.index, self.values = index, list(values)
        self.carried = list(values)

    def carry(self, values: Sequence[Value]) -> None:
        """Pass values on to the next iteration."""
        self.carried = list(values)


class Emitter:
    """A kernel being written.

    Args:
        name: name of the function.
        arguments: the record that its first parameter points to.
        parameters: LLVM types of its further parameters.

    Attributes:
        builder: llvmlite's IRBuilder.
        arguments: the values of the record's fields, by name. Fields of a nested record are attributes
            of an attribute.
        parameters: the values of the further parameters.
    """

    def __init__(self, name: str, arguments: type[Arguments], parameters: Sequence[Any] = ()) -> None:
        self.module = ir.Module()
        kind = ir.FunctionType(ir.VoidType(), [INTS, *parameters])
        function = ir.Function(self.module, kind, name)
        self.builder = ir.IRBuilder(function.append_basic_block())
        self._fma = ir.Function(self.module, ir.FunctionType(VECTOR, [VECTOR] * 3), FMA)
        self._nontemporal = self.module.add_metadata([LANE(1)])
        self._entry = self.builder.block
        self.address, *self.parameters = function.args
        self.arguments, _ = self._load_record(arguments, 0)

    def finish(self) -> str:
        """End the function and return the module's textual IR."""
        self.builder.ret_void()
        return str(self.module)

    def _load_record(self, record: type[Arguments], offset: int) -> tuple[Any, int]:
        """The fields of a record, and the offset of its end."""
        values = SimpleNamespace()
        for name, kind in fields(record).items():
            if kind in (int, float):
                value = self.load_int(self.address, offset)
                offset += 1
                if kind is float:
                    value = self.builder.bitcast(self.builder.trunc(value, LANE), FLOAT)
            else:
                value, offset = self._load_record(kind, offset)
            setattr(values, name, value)
        return values, offset

    def integer(self, value: Value | int) -> Value:
        """A Python int as a value."""
        return INT(value) if isinstance(value, int) else value

    def add(self, *terms: Value | int) -> Value:
        """The sum of integers."""
        total = self.integer(terms[0])
        for each in terms[1:]:
            total = self.builder.add(total, self.integer(each))
        return total

    def multiply(self, *factors: Value | int) -> Value:
        """The product of integers."""
        total = self.integer(factors[0])
        for each in factors[1:]:
            total = self.builder.mul(total, self.integer(each))
        return total

    def is_within(self, index: Value, limit: Value) -> Value:
        """Whether 0 ≤ index < limit."""
        return self.builder.icmp_unsigned("<", index, limit)

    def all_of(self, *conditions: Value) -> Value:
        """Whether all conditions hold."""
        total = conditions[0]
        for each in conditions[1:]:
            total = self.builder.and_(total, each)
        return total

    @contextlib.contextmanager
    def loop(self, count: Value | int, carried: Sequence[Value] = (), *, may_be_empty: bool = False) -> Iterator[Loop]:
        """A loop of ``count`` iterations.

        Args:
            count: at least 1, unless it may be empty.
            carried: initial values of what each iteration passes on to the next by `Loop.carry`.
            may_be_empty: whether ``count`` may be 0.
        """
        b, limit = self.builder, self.integer(count)
        before, body = b.block, b.append_basic_block()
        after = b.append_basic_block()
        if may_be_empty:
            b.cbranch(b.icmp_signed(">", limit, INT(0)), body, after)
        else:
            b.branch(body)
        b.position_at_end(body)
        loop = Loop(b.phi(INT), [b.phi(value.type) for value in carried])
        phis = [loop.index, *loop.values]
        yield loop
        following = [b.add(loop.index, INT(1)), *loop.carried]
        for phi, first, later in zip(phis, [INT(0), *carried], following, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(later, b.block)
        end = b.block
        b.cbranch(b.icmp_signed("<", following[0], limit), body, after)
        b.position_at_end(after)
        loop.values = loop.carried
        if may_be_empty:
            loop.values = [b.phi(value.type) for value in carried]
            for phi, first, last in zip(loop.values, carried, loop.carried, strict=True):
                phi.add_incoming(first, before)
                phi.add_incoming(last, end)

    def if_then(self, condition: Value) -> Any:
        """A block executed if a condition holds: ``with e.if_then(condition): …``."""
        return self.builder.if_then(condition)

    def if_else(self, condition: Value) -> Any:
        """Two blocks: ``with e.if_else(condition) as (then, otherwise): with then: … with otherwise: …``."""
        return self.builder.if_else(condition)

    def at(self, pointer: Value, *offsets: Value | int) -> Value:
        """A pointer advanced by a number of values."""
        return self.builder.gep(pointer, [self.add(*offsets)])

    def load_int(self, pointer: Value, offset: Value | int) -> Value:
        """Load an integer from memory."""
        return self.builder.load(self.at(pointer, offset))

    def allocate(self, vectors: int, *, bfloat16: bool = False, zero: bool = False) -> Value:
        """Allocate memory for vectors on the stack."""
        with self.builder.goto_block(self._entry):
            memory = self.builder.alloca(VECTOR, vectors)
            memory.align = VECTOR_BYTES
        pointer = self.builder.bitcast(memory, FLOATS)
        for index in range(vectors if zero else 0):
            self.store(self.constant(0), pointer, index * LANES)
        return self.builder.bitcast(memory, BFLOAT16S) if bfloat16 else pointer

    def load(self, pointer: Value, *offsets: Value | int) -> Value:
        """Load a vector of floats from memory of float32 or bfloat16 values."""
        b = self.builder
        place = self.at(pointer, *offsets) if offsets else pointer
        if place.type == FLOATS:
            return self.load_as(place, VECTOR, FLOAT_BYTES)
        high = b.zext(self.load_as(place, BFLOAT16_VECTOR, BFLOAT16_BYTES), BITS)
        return b.bitcast(b.shl(high, self._all(16)), VECTOR)

    def first_lanes(self, count: Value) -> Value:
        """The mask of a vector's first ``count`` lanes: none if it is 0 or less, all if it is 16 or more."""
        undefined = ir.Constant(ir.VectorType(INT, LANES), ir.Undefined)
        first = self.builder.insert_element(undefined, count, LANE(0))
        counts = self.builder.shuffle_vector(first, undefined, ir.Constant(BITS, [0] * LANES))
        return self.builder.icmp_signed("<", ir.Constant(undefined.type, list(range(LANES))), counts)

    def load_lanes(self, mask: Value, pointer: Value, *offsets: Value | int) -> Value:
        """Load some lanes of a vector of float32 values; the others are 0, and their memory is not touched."""
        place = self._vector_place(pointer, *offsets)
        return self.builder.call(self._masked_load, [place, LANE(FLOAT_BYTES), mask, self.constant(0)])

    def store_lanes(self, mask: Value, value: Value, pointer: Value, *offsets: Value | int) -> None:
        """Store some lanes of a vector of float32 values."""
        place = self._vector_place(pointer, *offsets)
        self.builder.call(self._masked_store, [value, place, LANE(FLOAT_BYTES), mask])

    def _vector_place(self, pointer: Value, *offsets: Value | int) -> Value:
        place = self.at(pointer, *offsets) if offsets else pointer
        return self.builder.bitcast(place, VECTOR.as_pointer())

    @functools.cached_property
    def _masked_load(self) -> Value:
        kind = ir.FunctionType(VECTOR, [VECTOR.as_pointer(), LANE, MASK, VECTOR])
        return ir.Function(self.module, kind, f"llvm.masked.load.v{LANES}f32.p0")

    @functools.cached_property
    def _masked_store(self) -> Value:
        kind = ir.FunctionType(ir.VoidType(), [VECTOR, VECTOR.as_pointer(), LANE, MASK])
        return ir.Function(self.module, kind, f"llvm.masked.store.v{LANES}f32.p0")

    def load_as(self, pointer: Value, kind: Any, alignment: int) -> Value:
        """Load a value of any type from memory of another type."""
        value = self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()))
        value.align = alignment
        return value

    def store(self, value: Value, pointer: Value, *offsets: Value | int) -> None:
        """Store a vector of floats to memory of float32 or bfloat16 values, rounded to nearest even."""
        place = self.at(pointer, *offsets) if offsets else pointer
        if place.type == FLOATS:
            self._store_as(value, place, FLOAT_BYTES)
        else:
            self._store_as(self._rounded(value), place, BFLOAT16_BYTES)

    def stream(self, value: Value, pointer: Value) -> None:
        """Store a vector of floats to a whole cache line, bypassing the caches."""
        self._store_as(value, pointer, VECTOR_BYTES).set_metadata("nontemporal", self._nontemporal)

    def prefetch(self, pointer: Value, *offsets: Value | int) -> None:
        """Begin to load a cache line that is read later; any address will do."""
        b = self.builder
        place = b.bitcast(self.at(pointer, *offsets) if offsets else pointer, BYTES)
        b.call(self._prefetch, [place, *map(LANE, (READ, NEAR, DATA_CACHE))])

    @functools.cached_property
    def _prefetch(self) -> Value:
        kind = ir.FunctionType(ir.VoidType(), [BYTES, LANE, LANE, LANE])
        return ir.Function(self.module, kind, "llvm.prefetch.p0")

    def _store_as(self, value: Value, pointer: Value, alignment: int) -> Value:
        stored = self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()))
        stored.align = alignment
        return stored

    def _rounded(self, value: Value) -> Value:
        """The nearest bfloat16s, ties to even."""
        b = self.builder
        bits = b.bitcast(value, BITS)
        last = b.and_(b.lshr(bits, self._all(16)), self._all(1))
        rounded = b.trunc(b.lshr(b.add(bits, b.add(last, self._all(ROUNDING))), self._all(16)), BFLOAT16_VECTOR)
        return b.select(b.fcmp_unordered("uno", value, value), ir.Constant(BFLOAT16_VECTOR, [NAN] * LANES), rounded)

    def _all(self, number: int) -> Value:
        return ir.Constant(BITS, [number] * LANES)

    def constant(self, value: float) -> Value:
        """A constant in all lanes."""
        return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)

    def splat(self, value: Value) -> Value:
        """A float in all lanes."""
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(undefined, value, LANE(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(BITS, [0] * LANES))

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        """left · right + addend, rounded once."""
        return self.builder.call(self._fma, [left, right, addend])

    def truncate(self, value: Value) -> Value:
        """A vector's values rounded towards zero."""
        return self.builder.call(self._truncate, [value])

    def square_root(self, value: Value) -> Value:
        """The square roots of a vector's values; NaN of negative ones."""
        return self.builder.call(self._square_root, [value])

    @functools.cached_property
    def _truncate(self) -> Value:
        return self._of_vector("trunc")

    @functools.cached_property
    def _square_root(self) -> Value:
        return self._of_vector("sqrt")

    def _of_vector(self, name: str) -> Value:
        return ir.Function(self.module, ir.FunctionType(VECTOR, [VECTOR]), f"llvm.{name}.v{LANES}f32")

    def sum_lanes(self, value: Value) -> Value:
        """The sum of a vector's lanes."""
        width = LANES
        while width := width // 2:
            moved = self.shuffle(value, value, [(lane + width) % LANES for lane in range(LANES)])
            value = self.builder.fadd(value, moved)
        return self.builder.extract_element(value, LANE(0))

    def transpose(self, rows: Sequence[Value]) -> list[Value]:
        """The columns of a 16 × 16 matrix, given its rows."""
        matrix, width = list(rows), LANES // 2
        while width:
            low = [i if not i & width else i - width + LANES for i in range(LANES)]
            high = [i + width if not i & width else i + LANES for i in range(LANES)]
            for i in range(LANES):
                if not i & width:
                    pair = matrix[i], matrix[i + width]
                    matrix[i], matrix[i + width] = self.shuffle(*pair, low), self.shuffle(*pair, high)
            width //= 2
        return matrix

    def shuffle(self, left: Value, right: Value, lanes: Sequence[int]) -> Value:
        """Select lanes of two vectors; lanes of the second are numbered after those of the first."""
        order = ir.Constant(ir.VectorType(LANE, len(lanes)), list(lanes))
        return self.builder.shuffle_vector(left, right, order)
