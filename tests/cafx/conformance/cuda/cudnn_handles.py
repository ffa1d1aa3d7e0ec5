"""Handles of cuDNN and their streams."""

from __future__ import annotations

import itertools

from .library_memory import check_stream
from .runtime import Runtime


class Handles:
    """The handles that live.

    Args:
        runtime: the stand-in device.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._streams: dict[int, int | None] = {}
        self._numbers = itertools.count(0x5CD00000, 16)

    def create(self) -> int:
        """A new handle, on no stream yet."""
        handle = next(self._numbers)
        self._streams[handle] = None
        return handle

    def check(self, handle: int) -> None:
        """Raise AssertionError for a handle that does not live."""
        assert handle in self._streams, f"{handle!r} is no handle, or a destroyed one"

    def destroy(self, handle: int) -> None:
        """End a handle's life."""
        self.check(handle)
        del self._streams[handle]

    def set_stream(self, handle: int, stream: int) -> None:
        """Let a handle's work go to the stream with that address (``Stream.ptr``)."""
        if not isinstance(stream, int):
            raise TypeError(f"set_stream(): incompatible function arguments: stream is {type(stream).__name__}")
        self.check(handle)
        self._streams[handle] = stream

    def get_stream(self, handle: int) -> int:
        """The address of a handle's stream, 0 for the default one."""
        self.check(handle)
        return self._streams[handle] or 0

    def check_stream(self, handle: int) -> None:
        """Raise AssertionError unless a handle's stream is the current one."""
        self.check(handle)
        check_stream(self._streams[handle], self.runtime, "cuDNN")
