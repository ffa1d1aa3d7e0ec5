"""How the stand-ins for NVIDIA's libraries see device memory: strided operands at addresses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs
import numpy as np
import numpy.typing as npt

from .runtime import Runtime

Floats = npt.NDArray[np.floating]


def from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The values of bfloat16 numbers given by their bits.

    Example:
        >>> from_bfloat16(np.array([0x3F80, 0xC000], np.uint16))
        array([ 1., -2.], dtype=float32)
    """
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat16(values: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """The bits of the nearest bfloat16 numbers, ties to even; NaN stays NaN.

    Example:
        >>> [hex(bits) for bits in to_bfloat16([1.0, 1.00390625, 1.01171875])]
        ['0x3f80', '0x3f80', '0x3f82']
    """
    single = np.ascontiguousarray(values, np.float32)
    bits = single.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(single), np.uint32(0x7FC0), rounded).astype(np.uint16)


@attrs.frozen
class Kind:
    """A type of number in memory.

    Attributes:
        name: its name in messages.
        stored: the NumPy type of what is stored.
        computed: the NumPy type its values are computed in.
    """

    name: str
    stored: npt.DTypeLike
    computed: npt.DTypeLike

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return np.dtype(self.stored).itemsize


FLOAT = Kind("float32", np.float32, np.float32)
DOUBLE = Kind("float64", np.float64, np.float64)
BYTE = Kind("byte", np.uint8, np.uint8)
BFLOAT16 = Kind("bfloat16", np.uint16, np.float32)


def rounded(values: Floats, kind: Kind) -> Floats:
    """Values as they come back after having been stored as ``kind``."""
    return from_bfloat16(to_bfloat16(values)) if kind is BFLOAT16 else values.astype(kind.computed, copy=False)


@attrs.frozen
class Operand:
    """Numbers at an address. It keeps nothing alive, so that a recorded call may hold it.

    Attributes:
        address: where the first number lies.
        shape, strides: strides in numbers.
        kind: what is stored.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: Kind

    @property
    def nbytes(self) -> int:
        """Bytes from the first number to the end of the last."""
        return extent(self.shape, self.strides) * self.kind.itemsize

    @property
    def span(self) -> tuple[int, int]:
        """Address and bytes, as Runtime.submit takes them."""
        return self.address, self.nbytes

    def view(self, runtime: Runtime) -> npt.NDArray[np.generic]:
        """The numbers as they are stored."""
        return runtime.floats(self.address, self.shape, self.strides, self.kind.stored)

    def read(self, runtime: Runtime) -> Floats:
        """The numbers' values."""
        stored = self.view(runtime)
        return from_bfloat16(stored.astype(np.uint16)) if self.kind is BFLOAT16 else stored.astype(self.kind.computed)

    def write(self, runtime: Runtime, values: Floats) -> None:
        """Store values, rounded to the kind."""
        self.view(runtime)[...] = to_bfloat16(values) if self.kind is BFLOAT16 else values

    def overlaps(self, other: Operand, runtime: Runtime) -> bool:
        """Whether a byte belongs to both."""
        if self.address >= other.address + other.nbytes or other.address >= self.address + self.nbytes:
            return False
        return np.shares_memory(self.view(runtime), other.view(runtime))


def extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    """How many numbers lie between the first and the last one, both included."""
    if not math.prod(shape):
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


def distinct(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether strides nest, so that no two indices mean the same number.

    Example:
        >>> distinct((2, 3), (3, 1)), distinct((2, 3), (2, 1))
        (True, False)
    """
    reach = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if stride < reach:
                return False
            reach += (size - 1) * stride
    return True


def check_aligned(address: int, unit: int, what: str) -> None:
    """Raise AssertionError for an address that hardware or a library would refuse at run time."""
    assert address % unit == 0, f"{what}: the address {address:#x} is not a multiple of {unit} bytes"


def check_stream(stream: int | None, runtime: Runtime, what: str) -> None:
    """Raise AssertionError where a handle's work would go to another stream than the current one."""
    current = runtime.current_stream.ptr
    assert stream is not None, f"{what}: the handle has no stream: its work would go to the default stream"
    assert stream == current, f"{what}: the handle's stream {stream:#x} is not the current stream {current:#x}"


def check_disjoint(written: Operand, read: Iterable[Operand], runtime: Runtime, what: str) -> None:
    """Raise AssertionError where a result would overwrite an operand that is still being read."""
    for operand in read:
        assert not written.overlaps(operand, runtime), f"{what}: the result overlaps an operand"
