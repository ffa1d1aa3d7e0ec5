"""Devices, and the functions of the CUDA runtime (cupy.cuda.runtime)."""

from __future__ import annotations

import ctypes
from typing import Any

from .errors import CUDARuntimeError
from .memory import Block
from .state import current
from .streams import Stream

HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, DEFAULT = range(5)
CARD = "stand-in CUDA device"
MULTIPROCESSORS = 2
CAPABILITY = (9, 0)
VERSION = 13000


class Device:
    """A device.

    Args:
        id: its index; the current one by default.
    """

    def __init__(self, id: int | Device | None = None) -> None:  # noqa: A002 - CuPy's name
        self.id = current().device if id is None else int(id)
        self._previous: list[int] = []

    def __int__(self) -> int:
        return self.id

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> None:
        """Make it the current device."""
        checked(self.id)
        current().device = self.id

    def __enter__(self) -> Device:
        self._previous.append(current().device)
        self.use()
        return self

    def __exit__(self, *_: object) -> None:
        current().device = self._previous.pop()

    def synchronize(self) -> None:
        """Wait for all its work."""
        runtime = current()
        runtime.forbid(None, "Device.synchronize")
        if runtime.capturing:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported", "Device.synchronize")
        runtime.synchronisations += 1

    @property
    def compute_capability(self) -> str:
        """Major and minor number, without a point."""
        checked(self.id)
        return "{}{}".format(*CAPABILITY)

    @property
    def attributes(self) -> dict[str, int]:
        """What it can do."""
        checked(self.id)
        return {
            "MultiProcessorCount": MULTIPROCESSORS,
            "MaxThreadsPerBlock": 1024,
            "MaxSharedMemoryPerBlock": 48 << 10,
            "MaxSharedMemoryPerBlockOptin": 227 << 10,
            "WarpSize": 32,
            "ComputeCapabilityMajor": CAPABILITY[0],
            "ComputeCapabilityMinor": CAPABILITY[1],
        }

    @property
    def mem_info(self) -> tuple[int, int]:
        """Free and total bytes."""
        checked(self.id)
        return memory_info()

    @property
    def pci_bus_id(self) -> str:
        """Where it is plugged in."""
        return f"0000:{checked(self.id):02x}:00.0"


def checked(device: int) -> int:
    """``device``, if there is one of that index."""
    if not 0 <= device < current().devices:
        raise CUDARuntimeError("cudaErrorInvalidDevice")
    return device


def memory_info() -> tuple[int, int]:
    """Free and total bytes of the current device."""
    registry = current().registry
    return registry.capacity - registry.used, registry.capacity


def device_count() -> int:
    """How many devices there are."""
    return current().devices


def current_device() -> int:
    """The current device's index."""
    return current().device


def device_properties(device: int) -> dict[str, Any]:
    """What is known of a device."""
    return {
        "name": f"{CARD} {checked(device)}".encode(),
        "totalGlobalMem": current().registry.capacity,
        "major": CAPABILITY[0],
        "minor": CAPABILITY[1],
        "multiProcessorCount": MULTIPROCESSORS,
        "sharedMemPerBlock": 48 << 10,
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "l2CacheSize": 50 << 20,
    }


def memcpy(dst: int, src: int, size: int, kind: int) -> None:
    """Copy and wait."""
    runtime = current()
    if kind != DEVICE_TO_DEVICE:
        runtime.forbid(None, "memcpy")
    copy(dst, src, size, kind, runtime.current_stream)
    if kind == DEVICE_TO_HOST:
        runtime.read("memcpy")


def memcpy_async(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    """Copy in a stream's order; inside a capture the host's side must be pinned."""
    copy(dst, src, size, kind, stream_of(stream))


def copy(dst: int, src: int, size: int, kind: int, stream: Stream) -> None:
    """Check the device's sides, count, and copy or record."""
    runtime = current()
    sides = {HOST_TO_DEVICE: (dst,), DEVICE_TO_HOST: (src,), DEVICE_TO_DEVICE: (dst, src)}
    if kind not in sides:
        raise CUDARuntimeError(1, f"memcpy of kind {kind}")
    host = dst if kind == DEVICE_TO_HOST else src
    recorded = stream.capture is not None and kind != DEVICE_TO_DEVICE
    if recorded and not pinned(host):
        runtime.forbid(stream, "a copy between pageable host memory and the device")

    def work() -> None:
        if recorded and not pinned(host):
            raise AssertionError(f"captured memory was freed: pinned memory at {host:#x}")
        runtime.copies_to_device += kind == HOST_TO_DEVICE
        runtime.copies_to_host += kind == DEVICE_TO_HOST
        ctypes.memmove(dst, src, size)

    runtime.submit(work, [(side, size) for side in sides[kind]], "memcpy", stream)


def memset_async(ptr: int, value: int, size: int, stream: int) -> None:
    """Set bytes in a stream's order."""
    current().submit(lambda: ctypes.memset(ptr, value, size), [(ptr, size)], "memset", stream_of(stream))


def memset(ptr: int, value: int, size: int) -> None:
    """Set bytes."""
    memset_async(ptr, value, size, current().current_stream.ptr)


def stream_of(number: int) -> Stream:
    """The stream of a number; CUDARuntimeError for a number that no stream has."""
    stream = current().streams.get(int(number))
    if stream is None:
        raise CUDARuntimeError(1, f"no stream {number:#x}")
    return stream


def pinned(address: int) -> bool:
    """Whether a host address is inside pinned memory."""
    return any(start <= address < start + len(memory) for start, memory in list(current().pinned.items()))


def device_synchronize() -> None:
    """Wait for all work."""
    Device().synchronize()


def pointer_attributes(address: int) -> Block:
    """The live block of an address; CUDARuntimeError if there is none."""
    block = current().registry.find(address)
    if block is None:
        raise CUDARuntimeError(1, f"{address:#x} is not device memory")
    return block


class PinnedMemory(bytearray):
    """Page-locked host memory.

    Attributes:
        ptr: its address.
    """

    ptr: int

    @property
    def mem(self) -> PinnedMemory:
        """The memory: itself."""
        return self

    def size(self) -> int:
        """How many bytes it has."""
        return len(self)


def alloc_pinned_memory(size: int) -> PinnedMemory:
    """Page-locked host memory of ``size`` bytes."""
    memory = PinnedMemory(size)
    memory.ptr = ctypes.addressof(ctypes.c_char.from_buffer(memory)) if size else 0
    current().pinned[memory.ptr] = memory
    return memory


RUNTIME_FUNCTIONS: dict[str, Any] = {
    "getDeviceCount": device_count,
    "getDevice": current_device,
    "setDevice": lambda device: Device(device).use(),
    "getDeviceProperties": device_properties,
    "driverGetVersion": lambda: VERSION,
    "runtimeGetVersion": lambda: VERSION,
    "memGetInfo": memory_info,
    "memcpy": memcpy,
    "memcpyAsync": memcpy_async,
    "memset": memset,
    "memsetAsync": memset_async,
    "streamSynchronize": lambda stream: stream_of(stream).synchronize(),
    "streamIsCapturing": lambda stream: stream_of(stream).is_capturing(),
    "deviceSynchronize": device_synchronize,
    "memcpyHostToHost": HOST_TO_HOST,
    "memcpyHostToDevice": HOST_TO_DEVICE,
    "memcpyDeviceToHost": DEVICE_TO_HOST,
    "memcpyDeviceToDevice": DEVICE_TO_DEVICE,
    "memcpyDefault": DEFAULT,
    "streamCaptureModeGlobal": 0,
    "streamCaptureModeThreadLocal": 1,
    "streamCaptureModeRelaxed": 2,
    "CUDARuntimeError": CUDARuntimeError,
    "is_hip": False,
}
