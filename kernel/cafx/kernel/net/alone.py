"""A net in several threads: one may run it at a time."""

from __future__ import annotations

import threading

from cafx.kernel.errors import CafxError


class Alone:
    """A context that one thread at a time may be in, as often as it likes; an error for the others."""

    def __init__(self, name: str) -> None:
        self.name, self.lock = name, threading.RLock()

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise CafxError(f"net '{self.name}' is in use by another thread", remedy="build one net per thread")

    def __exit__(self, *_: object) -> None:
        self.lock.release()
