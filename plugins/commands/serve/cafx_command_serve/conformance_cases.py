"""Conformance cases of ``cafx serve``."""

from __future__ import annotations

from collections.abc import Iterable

from cafx.conformance.kinds.command import CommandCase
from cafx.conformance.kinds.files import write_net


def cases() -> Iterable[CommandCase]:
    """A net; only errors, since a server does not end by itself."""
    run = ["net.prototxt", "--weights", "net.caffemodel", "--port", "0", "--engine", "numpy"]
    yield CommandCase("small", run, write_net, endless="serves until it is stopped")
