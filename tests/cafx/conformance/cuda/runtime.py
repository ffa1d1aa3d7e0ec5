"""The stand-in device: its memory, its streams, and what was asked of it."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CUDARuntimeError
from .memory import Block, Memory, MemoryPointer, Registry, raw_view
from .streams import INVALIDATED, UNSUPPORTED, Event, Node, Stream

Allocator = Callable[[int], MemoryPointer]


class Threads(threading.local):
    """What each thread has of its own: the current stream, the streams entered, the allocator."""

    def __init__(self, null: Stream) -> None:
        self.stream = null
        self.entered: list[Stream] = []
        self.allocator: Allocator | None = None


class Runtime:
    """One stand-in device.

    Args:
        memory: how many bytes it has.
        devices: how many devices there are (they share the memory).
        reverse: whether a kernel's threads and blocks run from last to first: what depends on their order
            shows by another result.

    Attributes:
        launches: kernels launched by RawModule and RawKernel, those of graphs included.
        operations: everything done on the device, kernels included.
        host_reads: how often the host waited for values.
        synchronisations: how often it waited for a stream, an event or the device.
        graph_launches: graphs launched.
        copies_to_device: copies from the host.
        copies_to_host: copies to the host.
        outside_capture: work that a thread did on other streams while it captured.
        library_calls: calls of cuBLAS and cuDNN, as their stand-ins note them.
        capturing: how many captures each thread has begun and not ended.
    """

    def __init__(self, memory: int = 2 << 30, devices: int = 1, *, reverse: bool = False) -> None:
        self.registry = Registry(memory)
        self.devices = devices
        self.device = 0
        self.launches = self.operations = self.host_reads = self.synchronisations = 0
        self.graph_launches = self.copies_to_device = self.copies_to_host = self.outside_capture = 0
        self.library_calls: list[tuple[str, str]] = []
        self.capturing: Counter[int] = Counter()
        self.pinned: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self.reverse = reverse
        self.allocator: Allocator | None = None
        self.streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.stream_class: type[Stream] = type("Stream", (Stream,), {"runtime": self})
        self.event_class: type[Event] = type("Event", (Event,), {"runtime": self})
        self.null = self.stream_class.null = self.stream_class(null=True)
        self.threads = Threads(self.null)
        self._warm: set[Hashable] = set()

    @property
    def current_stream(self) -> Stream:
        """The stream this thread's work goes to."""
        return self.threads.stream

    def own(self, array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Memory | None]:
        """A fresh host array as device memory: itself, or a copy where an allocator says so."""
        nbytes = array.nbytes
        if nbytes == 0:
            return array, None
        allocator = self.threads.allocator or self.allocator
        if allocator is None:
            return array, Memory(self.registry.add(array, nbytes), self.registry)
        pointer = allocator(nbytes)
        placed = raw_view(pointer.ptr, array.shape, array.strides, array.dtype)
        placed[...] = array
        return placed, pointer.mem

    def allocate(self, nbytes: int) -> MemoryPointer:
        """Uninitialised memory (all bits set) from the current allocator."""
        allocator = self.threads.allocator or self.allocator
        if allocator is not None:
            return allocator(nbytes)
        if nbytes == 0:
            return MemoryPointer(None, 0)
        return MemoryPointer(Memory(self.registry.allocate(nbytes), self.registry), 0)

    def blocks(self, addresses: Iterable[tuple[int, int]], what: str) -> tuple[Block, ...]:
        """The live blocks that hold these (address, bytes) ranges; AssertionError where there is none."""
        found = []
        for address, nbytes in addresses:
            block = self.registry.find(address, nbytes)
            if block is None:
                raise AssertionError(f"{what}: {nbytes} bytes at {address:#x} are not inside live device memory")
            found.append(block)
        return tuple(found)

    def submit(
        self, work: Callable[[], object], addresses: Iterable[tuple[int, int]], what: str, stream: Stream | None = None
    ) -> None:
        """Do work on the device, or record it where the stream captures.

        Args:
            work: does it. It must not keep arrays alive: use ``floats`` on addresses.
            addresses: (address, bytes) of all it touches.
            what: its name in messages.
            stream: the stream; the current one by default.

        Raises:
            AssertionError: an address is not inside live memory.
        """
        blocks = self.blocks(addresses, what)
        stream = stream or self.threads.stream
        if stream.capture is None:
            self.note(1)
            with np.errstate(all="ignore"):
                work()
        else:
            self.append(stream, Node(work, blocks, what))

    def append(self, stream: Stream, node: Node) -> None:
        """Add a node to a stream's capture."""
        capture = stream.capture
        assert capture is not None
        if capture.invalid:
            raise CUDARuntimeError(INVALIDATED, capture.invalid)
        capture.joined.discard(stream.ptr)
        capture.joined.add(capture.origin.ptr)
        capture.nodes.append(node)

    def note(self, operations: int) -> None:
        """Count work that is done at once."""
        self.operations += operations
        if self.capturing and self.capturing[threading.get_ident()]:
            self.outside_capture += operations

    def replay(self, nodes: list[Node]) -> None:
        """Do recorded work."""
        self.operations += len(nodes)
        with np.errstate(all="ignore"):
            for node in nodes:
                node.work()

    def forbid(self, stream: Stream | None, what: str) -> None:
        """Refuse what a capturing stream (the current one by default) cannot record; the capture is lost."""
        capture = (stream or self.threads.stream).capture
        if capture is not None:
            capture.invalid = capture.invalid or what
            raise CUDARuntimeError(UNSUPPORTED, what)

    def read(self, what: str) -> None:
        """Note that the host waits for a value; refused while the current stream captures."""
        self.forbid(None, what)
        self.host_reads += 1

    def warm(self, key: Hashable) -> None:
        """Note that ``key`` (a kernel, a plan) runs; refused where its first run is inside a capture."""
        if key not in self._warm:
            self.forbid(None, f"modules must be loaded before a capture: the first use of {key}")
            self._warm.add(key)

    def floats(
        self, address: int, shape: Iterable[int], strides: Iterable[int] | None, dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """A strided NumPy view on device memory, which it does not keep alive; ``strides`` in elements."""
        size = np.dtype(dtype).itemsize
        steps = None if strides is None else tuple(int(step) * size for step in strides)
        return raw_view(address, tuple(map(int, shape)), steps, dtype)
