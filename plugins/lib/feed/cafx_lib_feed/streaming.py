"""Images of bytes to floats in one pass over memory: cut, mirrored, less a mean, scaled.

A batch is larger than the processor's caches, so its floats go past them: whole cache lines, which
need not be read before they are written. Rows are no whole number of lines: the line that holds
the end of one row is put together with the start of the next.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numpy as np
import numpy.typing as npt

from cafx_lib_llvm import build

Array = npt.NDArray[Any]
Kernel = Callable[[int, int, int, int], None]
Shape = tuple[int, ...]
Value = Any
"""Of LLVM's language; llvmlite tells no types."""
LINE = 16  # floats of a cache line, which is also a vector
SEAM = 2 * LINE
FLOAT_BYTES, LINE_BYTES = 4, 64
MOST_CHANNELS = 16
STEPS = (1, 3)  # bytes from pixel to pixel
INT, BYTE, FLOAT, LANE = ir.IntType(64), ir.IntType(8), ir.FloatType(), ir.IntType(32)
BYTES, FLOATS, VECTOR = BYTE.as_pointer(), FLOAT.as_pointer(), ir.VectorType(FLOAT, LINE)
LAYOUT = ("channels", "height", "width", "source_plane", "source_row", "mean_plane", "mean_row", "scale")
KIND = ir.FunctionType(ir.VoidType(), [FLOATS, BYTES, FLOATS, INT.as_pointer()])
C_KIND = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)


class Stream:
    """One pass for images of one layout: out = (window - mean) · scale, from right to left where wanted.

    Each value is rounded as NumPy rounds it. Any number of threads may run it at once.

    Args:
        strides: of the images' bytes, from channel to channel, row to row, pixel to pixel.
        shape: C×H×W of the results.
        mean: float32; C×1×1, 1×1×1, or an image of which the part under the window is meant.
        scale: a factor.
    """

    def __init__(self, strides: Shape, shape: Shape, mean: Array, scale: float) -> None:
        _, self.row, self.step = strides
        self.kernels = kernels(self.step)
        whole = mean.shape[2] > 1
        self.mean = np.ascontiguousarray(mean if whole else np.broadcast_to(mean, (shape[0], 1, shape[2])))
        self.mean_address = self.mean.ctypes.data
        self.mean_row, self.mean_step = self.mean.strides[1:] if whole else (0, 0)
        mean_strides = self.mean.strides[0] // FLOAT_BYTES, self.mean_row // FLOAT_BYTES
        self.layout = np.array([*shape, *strides[:2], *mean_strides, np.float32(scale).view(np.int32)], np.int64)
        self.layout_address = self.layout.ctypes.data

    @staticmethod
    def fits(size: Shape, strides: Shape, out: Array) -> bool:
        """Whether there is a pass from bytes of size C×H×W to ``out``: its rows are of a cache line or more."""
        channels, height, width = out.shape
        inside = channels == size[0] and height <= size[1] and LINE <= width <= size[2]
        return inside and channels <= MOST_CHANNELS and strides[2] in STEPS and min(strides) > 0 and out.flags.carray

    def __call__(self, image: Array, top: int, left: int, flip: bool, out: Array) -> None:
        """The window of ``image`` at ``top`` and ``left`` into ``out``, as it was when it was seen to fit."""
        source = _address(image) + top * self.row + left * self.step
        mean = self.mean_address + top * self.mean_row + left * self.mean_step
        self.kernels[flip](_address(out), source, mean, self.layout_address)


def _address(array: Array) -> int:
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # takes a third of the time
    except (TypeError, ValueError):  # memory that is read-only or not in one piece
        return int(array.ctypes.data)


_compiling = threading.Lock()


def kernels(step: int) -> tuple[Kernel, Kernel]:
    """The pass compiled, straight and mirrored; both let go of the interpreter's lock."""
    with _compiling:
        return _kernel(step, False), _kernel(step, True)


@functools.cache
def _kernel(step: int, flip: bool) -> Kernel:
    name = f"stream_{step}{'_flipped' * flip}"
    address = build(str(Pass(name, step, flip).module), name)
    made: Kernel = C_KIND(address)
    return made


class Pass:
    """`Stream` in LLVM's language, for pixels ``step`` bytes apart, straight or mirrored.

    ``void(float *out, byte *source, float *mean, int64 *layout)``, the layout being as in `LAYOUT`.
    Vectors of values are loaded from within a row alone, wherever they begin.
    """

    def __init__(self, name: str, step: int, flip: bool) -> None:
        self.step, self.flip = step, flip
        module = self.module = ir.Module()
        function = ir.Function(module, KIND, name)
        self.past_caches = module.add_metadata([LANE(1)])
        self.b = ir.IRBuilder(function.append_basic_block())
        self.out, self.source, self.mean, layout = function.args
        for index, called in enumerate(LAYOUT):
            setattr(self, called, self.b.load(self.at(layout, INT(index))))
        self.scale = self.b.bitcast(self.b.trunc(self.scale, LANE), FLOAT)
        with self.b.goto_entry_block():
            self.seams = self.b.alloca(FLOAT, SEAM * MOST_CHANNELS)
        self.loop(self.height, lambda row: self.loop(self.channels, lambda channel: self.row(row, channel)))
        self.loop(self.channels, self.end)
        self.b.fence("seq_cst")
        self.b.ret_void()

    def row(self, row: Value, channel: Value) -> None:
        """The whole lines of a row, and the one it shares with the row before it."""
        b = self.b
        source = self.at(self.source, b.add(b.mul(channel, self.source_plane), b.mul(row, self.source_row)))
        mean = self.at(self.mean, b.add(b.mul(channel, self.mean_plane), b.mul(row, self.mean_row)))
        out = self.at(self.out, b.mul(b.add(b.mul(channel, self.height), row), self.width))
        first = self.missing(out)
        self.store(self.values(source, mean, INT(0)), self.seam(channel, INT(LINE)))
        with b.if_else(b.icmp_signed("==", row, INT(0))) as (start, later):
            with start:
                self.copy(first, self.seam(channel, INT(LINE)), out)
            with later, b.if_then(b.icmp_signed("!=", first, INT(0))):
                shared = self.load(self.seam(channel, first), VECTOR, FLOAT_BYTES)
                self.store(shared, self.at(out, b.sub(first, INT(LINE))), whole=True)

        def line(index: Value) -> None:
            x = b.add(first, b.mul(index, INT(LINE)))
            self.store(self.values(source, mean, x), self.at(out, x), whole=True)

        self.loop(b.udiv(b.sub(self.width, first), INT(LINE)), line)
        self.store(self.values(source, mean, b.sub(self.width, INT(LINE))), self.seam(channel, INT(0)))

    def end(self, channel: Value) -> None:
        """What follows a channel's last whole line."""
        b = self.b
        out = self.at(self.out, b.mul(b.mul(b.add(channel, INT(1)), self.height), self.width))
        more = b.and_(b.sub(INT(LINE), self.missing(out)), INT(LINE - 1))
        self.copy(more, self.seam(channel, b.sub(INT(LINE), more)), self.at(out, b.neg(more)))

    def seam(self, channel: Value, offset: Value) -> Value:
        """Where a channel's last values of one row are followed by the first ones of the next."""
        return self.at(self.seams, self.b.add(self.b.mul(channel, INT(SEAM)), offset))

    def copy(self, count: Value, source: Value, out: Value) -> None:
        """Some floats, fewer than a line."""
        self.loop(count, lambda i: self.b.store(self.b.load(self.at(source, i)), self.at(out, i)))

    def values(self, source: Value, mean: Value, x: Value) -> Value:
        """A vector of a row of the result, from column ``x`` on."""
        b = self.b
        x = b.sub(b.sub(self.width, INT(LINE)), x) if self.flip else x
        count = (LINE - 1) * self.step + 1
        pixels = self.load(self.at(source, b.mul(x, INT(self.step))), ir.VectorType(BYTE, count), 1)
        pixels = self.lanes(pixels, range(0, count, self.step))
        means = self.load(self.at(mean, x), VECTOR, FLOAT_BYTES)
        found = b.fmul(b.fsub(b.uitofp(pixels, VECTOR), means), self.splat(self.scale))
        return self.lanes(found, range(LINE - 1, -1, -1)) if self.flip else found

    def missing(self, pointer: Value) -> Value:
        """How many floats follow before the next cache line begins."""
        b = self.b
        over = b.and_(b.sub(INT(0), b.ptrtoint(pointer, INT)), INT(LINE_BYTES - 1))
        return b.lshr(over, INT(2))

    def loop(self, count: Value, body: Callable[[Value], None]) -> None:
        """``body(index)`` for each index below ``count``, which may be 0."""
        b = self.b
        before, test, inside, after = b.block, *(b.append_basic_block() for _ in range(3))
        b.branch(test)
        b.position_at_end(test)
        index = b.phi(INT)
        index.add_incoming(INT(0), before)
        b.cbranch(b.icmp_signed("<", index, count), inside, after)
        b.position_at_end(inside)
        body(index)
        index.add_incoming(b.add(index, INT(1)), b.block)
        b.branch(test)
        b.position_at_end(after)

    def at(self, pointer: Value, offset: Value) -> Value:
        """A pointer so many values further on."""
        return self.b.gep(pointer, [offset])

    def load(self, pointer: Value, kind: Any, align: int) -> Value:
        """A vector."""
        found = self.b.load(self.b.bitcast(pointer, kind.as_pointer()))
        found.align = align
        return found

    def store(self, value: Value, pointer: Value, whole: bool = False) -> None:
        """A vector to its place; past the caches where it is a whole line."""
        stored = self.b.store(value, self.b.bitcast(pointer, VECTOR.as_pointer()))
        stored.align = LINE_BYTES if whole else FLOAT_BYTES
        if whole:
            stored.set_metadata("nontemporal", self.past_caches)

    def lanes(self, vector: Value, chosen: range) -> Value:
        """Some of a vector's values."""
        order = ir.Constant(ir.VectorType(LANE, len(chosen)), list(chosen))
        return self.b.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order)

    def splat(self, value: Value) -> Value:
        """A vector of one value."""
        order = ir.Constant(ir.VectorType(LANE, LINE), [0] * LINE)
        none = ir.Constant(VECTOR, ir.Undefined)
        return self.b.shuffle_vector(self.b.insert_element(none, value, LANE(0)), none, order)
