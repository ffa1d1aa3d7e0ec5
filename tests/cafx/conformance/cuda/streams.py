"""Streams, events, captures and graphs."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .errors import CUDARuntimeError
from .memory import Block

UNSUPPORTED = "cudaErrorStreamCaptureUnsupported"
INVALIDATED = "cudaErrorStreamCaptureInvalidated"
_numbers = itertools.count(1)


class Node:
    """One piece of recorded work and the blocks it touches."""

    __slots__ = ("blocks", "what", "work")

    def __init__(self, work: Callable[[], object], blocks: tuple[Block, ...], what: str) -> None:
        self.work = work
        self.blocks = blocks
        self.what = what


class Capture:
    """What a stream has recorded since begin_capture."""

    def __init__(self, origin: Stream) -> None:
        self.origin = origin
        self.streams = {origin.ptr: origin}
        self.joined = {origin.ptr}
        self.nodes: list[Node] = []
        self.thread = threading.get_ident()
        self.invalid = ""


class Stream:
    """A stream. Its work is done at once, or recorded while it captures.

    Attributes:
        ptr: its number; 0 is the null stream.
    """

    null: Stream
    runtime: Any

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int = 0) -> None:
        self.ptr = 0 if null else 0x1000 + 16 * next(_numbers)
        self.is_non_blocking = non_blocking
        self.priority = priority
        self.device_id = 0
        self.capture: Capture | None = None
        self.runtime.streams[self.ptr] = self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self) -> int:
        return hash(self.ptr)

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    @property
    def done(self) -> bool:
        """Whether all its work is finished: always, unless it captures."""
        self.runtime.forbid(self, "a query of the stream")
        return True

    def use(self) -> Stream:
        """Make it this thread's current stream."""
        self.runtime.threads.stream = self
        return self

    def __enter__(self) -> Stream:
        self.runtime.threads.entered.append(self)
        return self.use()

    def __exit__(self, *_: object) -> None:
        entered = self.runtime.threads.entered
        entered.pop()
        (entered[-1] if entered else self.runtime.null).use()

    def synchronize(self) -> None:
        """Wait for its work."""
        self.runtime.forbid(self, "Stream.synchronize")
        self.runtime.synchronisations += 1

    def begin_capture(self, mode: int | None = None) -> None:
        """Record what follows instead of doing it."""
        if self.ptr == 0:
            raise CUDARuntimeError(UNSUPPORTED, "the default (legacy) stream cannot capture")
        if self.capture is not None:
            raise CUDARuntimeError(1, "the stream is capturing already")
        self.capture = Capture(self)
        self.runtime.capturing[self.capture.thread] += 1

    def end_capture(self) -> Graph:
        """Stop recording; the graph of what was recorded."""
        capture = self.capture
        if capture is None or capture.origin is not self:
            raise CUDARuntimeError(1, "the stream did not begin this capture" if capture else "no capture has begun")
        self.runtime.capturing[capture.thread] -= 1
        self.runtime.capturing += Counter()  # without the zeros
        for stream in capture.streams.values():
            stream.capture = None
        if capture.invalid:
            raise CUDARuntimeError(INVALIDATED, capture.invalid)
        if set(capture.streams) != capture.joined:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnjoined")
        return Graph(self.runtime, capture.nodes)

    def is_capturing(self) -> bool:
        """Whether it records."""
        if self.capture is not None and self.capture.invalid:
            raise CUDARuntimeError(INVALIDATED, self.capture.invalid)
        return self.capture is not None

    def record(self, event: Event | None = None) -> Event:
        """Mark this point of the stream's work by an event."""
        event = event or self.runtime.event_class(disable_timing=True)
        event.mark(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let work that follows wait for an event; one of a capturing stream makes this one capture too."""
        capture = event.capture
        if capture is None or capture.origin.capture is not capture:
            return
        if self.capture is None:
            self.capture = capture
            capture.streams[self.ptr] = self
        elif self.capture is capture:
            capture.joined.update(event.streams)
        else:
            raise CUDARuntimeError(1, "an event of another capture")

    def launch_host_func(self, callback: Callable[[Any], None], arg: Any) -> None:
        """Call a function on the host in the stream's order."""
        self.runtime.submit(lambda: callback(arg), (), "a host function", self)


class Event:
    """A point in a stream's work."""

    runtime: Any

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.ptr = 0x1000 + 16 * next(_numbers)
        self.disable_timing = disable_timing
        self.capture: Capture | None = None
        self.streams: set[int] = set()
        self.time = 0.0

    def mark(self, stream: Stream) -> None:
        """Set the event at the end of a stream's present work."""
        self.capture = stream.capture
        self.streams = {stream.ptr}
        self.time = time.perf_counter()

    def record(self, stream: Stream | None = None) -> None:
        """Set the event in a stream, the null stream by default."""
        self.mark(stream or self.runtime.null)

    @property
    def done(self) -> bool:
        """Whether the work before it is finished."""
        self._check()
        return True

    def synchronize(self) -> None:
        """Wait for the work before it."""
        self._check()
        self.runtime.synchronisations += 1

    def _check(self) -> None:
        if self.capture is not None and self.capture.origin.capture is self.capture:
            self.runtime.forbid(self.capture.origin, "waiting for an event of a capture")


class Graph:
    """Recorded work, done again by each launch."""

    def __init__(self, runtime: Any, nodes: list[Node]) -> None:
        self._runtime = runtime
        self.nodes = nodes
        self._blocks = list({id(block): block for node in nodes for block in node.blocks}.values())

    def launch(self, stream: Stream | None = None) -> None:
        """Do the work.

        Raises:
            AssertionError: memory that was captured has been freed.
        """
        runtime = self._runtime
        stream = stream or runtime.current_stream
        if stream.capture is not None:
            runtime.submit(self._run, [(block.address, block.nbytes) for block in self._blocks], "a graph", stream)
            return
        runtime.note(0 if not runtime.capturing else 1)
        runtime.graph_launches += 1
        self._run()

    def _run(self) -> None:
        for block in self._blocks:
            if not block.alive:
                node = next(node for node in self.nodes if block in node.blocks)
                raise AssertionError(f"captured memory was freed: {block.nbytes} bytes that {node.what!r} uses")
        self._runtime.replay(self.nodes)

    def upload(self, stream: Stream | None = None) -> None:
        """Bring the graph to the device before its first launch."""


def elapsed(start: Event, end: Event) -> float:
    """The milliseconds between two events."""
    if start.disable_timing or end.disable_timing:
        raise CUDARuntimeError(1, "an event without timing")
    return (end.time - start.time) * 1e3
