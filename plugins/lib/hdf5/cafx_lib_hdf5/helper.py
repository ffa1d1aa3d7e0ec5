"""The process in which libhdf5 reads files: ``python -m cafx_lib_hdf5.helper``.

libhdf5 trusts the structure of a file. A wrong byte may make it loop for ever, take all memory, or crash. Here this
ends a process of its own: by an alarm when a request makes no progress, or by a limit on memory.

Requests are lines of JSON on stdin, answered on stdout by a line of JSON:

    {"open": PATH}                             → {"objects": [...]}, or {"error": TEXT}
    {"read": NAME, "rows": [first, last]}      → {"bytes": N}, then N bytes, in the machine's byte order
    {"read": NAME, "listed": [row, ...]}       → the same
    {"bytes": NAME}                            → {"bytes": N}, then the bytes of a string or an opaque value
    {"close": true}                            → {}

An object is a group ``{"name"}``, a link ``{"name", "link": its target}``, or a dataset ``{"name", "shape", "type"}``
with ``offset`` if its values lie in the file in order. Links to other files, and datasets whose values are in other
files, are errors.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

SECONDS = 10
"""How long a request may take without progress."""
MEMORY = 2 << 30
MOST_OBJECTS = 200_000
MOST_TEXT = 1 << 28
SLAB = 8 << 20
"""Bytes read at once."""
CHUNK_CACHE_BYTES = 16 << 20
NUMBERS = "fiub"


class Refused(ValueError):
    """A file is not read; says why."""


class Server:
    """Answers requests about one file at a time."""

    def __init__(self) -> None:
        self.file: Any = None
        self.out = sys.stdout.buffer

    def serve(self) -> None:
        """Answer requests until stdin ends."""
        for line in sys.stdin.buffer:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            self.answer(json.loads(line))
            self.out.flush()
            signal.setitimer(signal.ITIMER_REAL, 0)

    def answer(self, request: dict[str, Any]) -> None:
        """Answer one request."""
        try:
            if "open" in request:
                self.open(request["open"])
            elif "read" in request:
                self.read(request)
            elif "bytes" in request:
                self.text(request["bytes"])
            else:
                self.close()
                self.say({})
        except (Refused, OSError, KeyError, ValueError, TypeError, RuntimeError, MemoryError, OverflowError) as error:
            self.say({"error": str(error.args[0]) if error.args else type(error).__name__})

    def say(self, answer: dict[str, Any]) -> None:
        """Write a line of an answer."""
        self.out.write(json.dumps(answer).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def open(self, path: str) -> None:
        """Open a file and list what is in it."""
        self.close()
        self.file = h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES)
        self.say({"objects": list(_objects(self.file.id))})

    def read(self, request: dict[str, Any]) -> None:
        """Send rows of a dataset of numbers, or its one value."""
        dataset = self.dataset(request["read"])
        kind = dataset.dtype.newbyteorder("=")
        if not dataset.shape:
            self.send([dataset[()]], kind.itemsize, kind)
            return
        row = kind.itemsize * int(np.prod(dataset.shape[1:], dtype=object))
        step = max(1, SLAB // max(row, 1))
        if "listed" in request:
            listed = request["listed"]
            slabs = (dataset[listed[at : at + step]] for at in range(0, len(listed), step))
            self.send(slabs, row * len(listed), kind)
            return
        first, last = request["rows"]
        slabs = (dataset[at : min(at + step, last)] for at in range(first, last, step))
        self.send(slabs, row * (last - first), kind)

    def send(self, slabs: Any, size: int, kind: np.dtype[Any]) -> None:
        """Send arrays; what fails on the way ends the process, since the length has been told."""
        began = False
        for slab in slabs:
            if not began:
                self.say({"bytes": size})
                began = True
            try:
                self.out.write(np.ascontiguousarray(slab, kind).reshape(-1).view(np.uint8).data)
            except BrokenPipeError:
                sys.exit(1)
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
        if not began:
            self.say({"bytes": 0})

    def text(self, name: str) -> None:
        """Send the bytes of a string or an opaque value."""
        dataset = self.dataset(name)
        if dataset.size is None or dataset.size != 1 or dataset.dtype.itemsize > MOST_TEXT:
            raise Refused(f"'{name}' is not one string")
        value = dataset[()] if not dataset.shape else dataset[(0,) * len(dataset.shape)]
        data = value.encode() if isinstance(value, str) else bytes(value)
        self.say({"bytes": len(data)})
        self.out.write(data)

    def dataset(self, name: str) -> Any:
        """A dataset of the file."""
        return h5py.Dataset(h5py.h5o.open(self.file.id, name.encode("utf-8", "surrogateescape")))


def _objects(root: Any) -> Iterator[dict[str, Any]]:
    """What is in a file, group by group."""
    groups, count = [(b"", root, {_identity(root)})], 0
    while groups:
        prefix, group, above = groups.pop()
        for name in sorted(group):
            count += 1
            if count > MOST_OBJECTS:
                raise Refused(f"it has more than {MOST_OBJECTS} objects")
            path = prefix + name
            shown = path.decode("utf-8", "surrogateescape")
            link = group.links.get_info(name)
            if link.type == h5py.h5l.TYPE_SOFT:
                yield {"name": shown, "link": group.links.get_val(name).decode("utf-8", "surrogateescape")}
                continue
            if link.type != h5py.h5l.TYPE_HARD:
                raise Refused(f"'{shown}' is a link to another file, which is not followed")
            child = h5py.h5o.open(group, name)
            if isinstance(child, h5py.h5d.DatasetID):
                yield {"name": shown, **_dataset(shown, child)}
            elif isinstance(child, h5py.h5g.GroupID):
                identity = _identity(child)
                if identity in above:
                    raise Refused(f"group '{shown}' contains itself")
                groups.append((path + b"/", child, above | {identity}))
                yield {"name": shown}


def _identity(group: Any) -> Any:
    return h5py.h5o.get_info(group).addr


def _dataset(name: str, dataset: Any) -> dict[str, Any]:
    """Shape, type and place of a dataset's values."""
    options = dataset.get_create_plist()
    if options.get_external_count() or options.get_layout() == h5py.h5d.VIRTUAL:
        raise Refused(f"the values of dataset '{name}' are in another file, which is not read")
    space, stored = dataset.get_space(), dataset.get_type()
    shape = space.get_simple_extent_dims() if space.get_simple_extent_type() != h5py.h5s.NULL else None
    try:
        kind = stored.dtype
    except (TypeError, ValueError):
        return {"shape": shape, "type": ""}
    described = {"shape": shape, "type": kind.str if kind.kind != "O" else "O"}
    in_order = options.get_layout() == h5py.h5d.CONTIGUOUS and kind.kind in "fiu"
    if in_order and h5py.h5t.py_create(kind).equal(stored):
        described["offset"] = dataset.get_offset()
    return described


def main() -> None:
    """Serve, within limits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asked ends this one, by closing stdin
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if most == resource.RLIM_INFINITY else min(most, MEMORY), most))
    Server().serve()


if __name__ == "__main__":
    main()
