"""Device memory: blocks of host memory that are registered while they live.

A Block is an address range. A Memory is the handle by which arrays own a block; once the last array is gone the
block is freed: back to its pool, or out of the registry. A freed block's bytes are overwritten with 0xFF (NaN).
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from bisect import bisect_right, insort
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import OutOfMemoryError

POISON = 0xFF
GUARD = b"\xa5" * 64
UNIT = 512
MOST_POISONED = 4 << 20


class Block:
    """A range of addresses: live until it is freed.

    Args:
        storage: the host memory it is part of.
        address: where it begins.
        nbytes: how many bytes of it are in use.
        guarded: whether the bytes around it are the stand-in's, to see whether they are changed.

    Attributes:
        alive: False once it is freed.
        room: how many bytes it takes of the device.
        handle: the Memory that owns it at present.
    """

    __slots__ = ("address", "alive", "guarded", "handle", "nbytes", "room", "storage")

    def __init__(self, storage: npt.NDArray[Any], address: int, nbytes: int, *, guarded: bool) -> None:
        self.storage: npt.NDArray[Any] | None = storage
        self.address = address
        self.nbytes = nbytes
        self.room = rounded(nbytes)
        self.guarded = guarded
        self.alive = True
        self.handle: weakref.ref[Memory] | None = None
        if guarded:
            self.guard()

    def guard(self) -> None:
        """Mark the bytes before and after it."""
        ctypes.memmove(self.address - len(GUARD), GUARD, len(GUARD))
        ctypes.memmove(self.address + self.nbytes, GUARD, len(GUARD))

    def check(self, what: str) -> None:
        """Raise AssertionError if the bytes before or after it have changed."""
        if self.guarded and self.alive:
            before = ctypes.string_at(self.address - len(GUARD), len(GUARD))
            after = ctypes.string_at(self.address + self.nbytes, len(GUARD))
            if before != GUARD or after != GUARD:
                side = "after the end" if before == GUARD else "before the beginning"
                self.guard()
                raise AssertionError(f"{what} wrote {side} of an array of {self.nbytes} bytes")

    def poison(self) -> None:
        """Overwrite what it holds, of a large block the beginning."""
        ctypes.memset(self.address, POISON, min(self.nbytes, MOST_POISONED))


class Registry:
    """The live blocks of a device, found by address.

    Blocks may be removed at any moment, in any thread, even while another call is under way here (arrays
    die when the garbage collector says so). Such a block waits until the call is done.

    Args:
        capacity: how many bytes the device has.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._used = 0
        self._starts: list[int] = []
        self._blocks: dict[int, Block] = {}
        self._dead: deque[Block] = deque()
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """How many bytes live blocks have, in whole units."""
        self._sweep()
        return self._used

    def reserve(self, nbytes: int) -> None:
        """Raise OutOfMemoryError unless ``nbytes`` more fit."""
        if self._used + rounded(nbytes) > self.capacity:
            self._sweep()
            if self._used + rounded(nbytes) > self.capacity:
                raise OutOfMemoryError(nbytes, self._used, self.capacity)

    def allocate(self, nbytes: int) -> Block:
        """A new block of undefined bytes, guarded."""
        self.reserve(nbytes)
        storage = np.empty(rounded(nbytes) + 3 * UNIT, np.uint8)
        address = address_of(storage) + len(GUARD)
        block = Block(storage, address + -address % UNIT, nbytes, guarded=True)
        block.poison()
        self._enter(block)
        return block

    def add(self, storage: npt.NDArray[Any], nbytes: int) -> Block:
        """Register an array's own memory as a block."""
        self.reserve(nbytes)
        block = Block(storage, address_of(storage), nbytes, guarded=False)
        self._enter(block)
        return block

    def _enter(self, block: Block) -> None:
        with self._lock:
            self._used += block.room
            insort(self._starts, block.address)
            self._blocks[block.address] = block
        if self._dead:
            self._sweep()

    def remove(self, block: Block) -> None:
        """End a block's life."""
        block.alive = False
        self._dead.append(block)
        self._sweep()

    def _sweep(self) -> None:
        """Forget the dead blocks, unless a call is under way that will do so."""
        while self._dead and self._lock.acquire(blocking=False):
            try:
                while self._dead:
                    self._forget(self._dead.popleft())
            finally:
                self._lock.release()

    def _forget(self, block: Block) -> None:
        block.poison()
        self._used -= block.room
        del self._starts[bisect_right(self._starts, block.address) - 1]
        del self._blocks[block.address]
        block.storage = None

    def find(self, address: int, nbytes: int = 1) -> Block | None:
        """The live block that holds ``nbytes`` bytes from ``address``, or None."""
        with self._lock:
            at = bisect_right(self._starts, address) - 1
            block = self._blocks[self._starts[at]] if at >= 0 else None
        if self._dead:
            self._sweep()
        if block is None or not block.alive or address + nbytes > block.address + block.nbytes:
            return None
        return block

    def memory_at(self, address: int) -> Memory | None:
        """The Memory that an address lies in, or None."""
        block = self.find(address)
        return None if block is None or block.handle is None else block.handle()


class Memory:
    """Ownership of a block: freed with the last array on it.

    Attributes:
        ptr: the address of its first byte.
        size: how many bytes it has.
    """

    __slots__ = ("__weakref__", "_registry", "block", "device_id")

    def __init__(self, block: Block, registry: Registry) -> None:
        self.block = block
        self.device_id = 0
        self._registry = registry
        block.handle = weakref.ref(self)

    @property
    def ptr(self) -> int:
        """The address of its first byte."""
        return self.block.address

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.block.nbytes

    def __del__(self) -> None:
        self._registry.remove(self.block)


class PooledMemory(Memory):
    """Ownership of a pool's block, which goes back to the pool."""

    __slots__ = ("_pool",)

    def __init__(self, block: Block, registry: Registry, pool: MemoryPool) -> None:
        super().__init__(block, registry)
        self._pool = weakref.ref(pool)

    def __del__(self) -> None:
        pool = self._pool()
        if pool is None:
            self._registry.remove(self.block)
        else:
            pool.give_back(self.block)


class MemoryPointer:
    """A place in a Memory.

    Args:
        mem: the memory.
        offset: bytes from its beginning.
    """

    __slots__ = ("_offset", "mem")

    def __init__(self, mem: Memory | None, offset: int) -> None:
        self.mem = mem
        self._offset = offset

    @property
    def ptr(self) -> int:
        """The address."""
        return (self.mem.ptr if self.mem is not None else 0) + self._offset

    @property
    def device_id(self) -> int:
        """The device it lies on."""
        return self.mem.device_id if self.mem is not None else 0

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self._offset + int(offset))

    __radd__ = __add__

    def __sub__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self._offset - int(offset))


class MemoryPool:
    """Memory that is kept for reuse as long as the pool lives, as graphs need it for their temporaries."""

    registry: Registry

    def __init__(self, allocator: Any = None) -> None:
        self._free: dict[int, list[Block]] = {}
        self._used: dict[int, Block] = {}

    def malloc(self, size: int) -> MemoryPointer:
        """Memory of at least ``size`` bytes: a freed block of that size if there is one."""
        if size == 0:
            return MemoryPointer(None, 0)
        size = rounded(size)
        waiting = self._free.get(size)
        block = waiting.pop() if waiting else self.registry.allocate(size)
        self._used[block.address] = block
        return MemoryPointer(PooledMemory(block, self.registry, self), 0)

    def give_back(self, block: Block) -> None:
        """Keep a block that no array owns any more."""
        del self._used[block.address]
        block.poison()
        self._free.setdefault(block.nbytes, []).append(block)

    def used_bytes(self) -> int:
        """Bytes that arrays own."""
        return sum(block.nbytes for block in list(self._used.values()))

    def free_bytes(self) -> int:
        """Bytes kept for reuse."""
        return sum(size * len(blocks) for size, blocks in list(self._free.items()))

    def total_bytes(self) -> int:
        """Bytes taken from the device."""
        return self.used_bytes() + self.free_bytes()

    def n_free_blocks(self) -> int:
        """How many blocks are kept for reuse."""
        return sum(map(len, list(self._free.values())))

    def free_all_blocks(self, stream: Any = None) -> None:
        """Give the blocks that no array owns back to the device."""
        for blocks in self._free.values():
            for block in blocks:
                self.registry.remove(block)
        self._free.clear()

    def __del__(self) -> None:
        self.free_all_blocks()


def rounded(nbytes: int) -> int:
    """``nbytes`` in whole units of allocation."""
    return -(-nbytes // UNIT) * UNIT


def address_of(array: npt.NDArray[Any]) -> int:
    """The address of an array's first element."""
    address: int = array.__array_interface__["data"][0]
    return address


def inside(array: npt.NDArray[Any], memory: Memory) -> bool:
    """Whether all of an array's elements lie in a Memory."""
    first, last = np.lib.array_utils.byte_bounds(array)
    return memory.ptr <= first and last <= memory.ptr + memory.size


class _Interface:
    """What lets NumPy see memory without owning it."""

    __slots__ = ("__array_interface__",)

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def raw_view(
    address: int, shape: tuple[int, ...], strides: tuple[int, ...] | None, dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """A NumPy array on memory that it does not keep alive; ``strides`` in bytes, None for C order."""
    kind = np.dtype(dtype)
    if address == 0:
        return np.empty(shape, kind)
    interface = {"data": (address, False), "shape": shape, "strides": strides, "typestr": kind.str, "version": 3}
    return np.asarray(_Interface(interface))


def raw(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same elements as ``array``, without keeping its memory alive."""
    return raw_view(address_of(array), array.shape, array.strides, array.dtype) if array.size else array
