"""The gateway as a process: requests on standard input, answers on standard output, until the input is closed.

A message is its number of bytes (uint64, little-endian) and these bytes. The first one is the answer to a request
that nobody sent, for the version. What layers and libraries print goes to standard error.

SIGINT, which Ctrl-C sends to the client's processes, stops the present call; between calls it is ignored. SIGUSR1
says that the client has been interrupted too, maybe in the middle of a message: the worker discards what it was
reading or writing and writes `MARK`, from which on the client reads messages again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from typing import Any

from caffe.gateway import wire
from caffe.gateway.dispatch import call, failure
from caffe.gateway.handles import Handles

LENGTH_BYTES = 8
READ_BYTES = 1 << 20
MARK_TEXT = b"caffe.gateway: messages begin here"
BLOCK = 4096
"""The client reads blocks of so many bytes until it finds the mark's text; as many zeros follow the text."""
MARK = MARK_TEXT + bytes(BLOCK)
CHECK_SECONDS = 1.0


class Resynchronise(BaseException):
    """The client has been interrupted."""


class Worker:
    """Answers requests.

    Args:
        source, sink: descriptors of the pipes from and to the client.
    """

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._handles = Handles()
        self._calling = False

    def run(self) -> None:
        """Answer requests until there are no more."""
        greeting: bytes | None = wire.encode(["version", os.getcwd()])  # noqa: PTH109 - text
        request = greeting
        while request is not None:
            try:
                self._send(self._answer(request))
                request = self._receive()
            except Resynchronise:
                self._discard()
                self._write(MARK)
                request = self._receive()

    def interrupt(self, *_: Any) -> None:
        """Handle SIGINT."""
        if self._calling:
            self._handles.interrupt()

    def resynchronise(self, *_: Any) -> None:
        """Handle SIGUSR1."""
        self._calling = False
        raise Resynchronise

    def watch(self) -> None:
        """Stop the present call when the client has ended."""
        hung_up = select.poll()
        hung_up.register(self._source, 0)
        hung_up.poll()
        while True:
            signal.raise_signal(signal.SIGINT)
            time.sleep(CHECK_SECONDS)

    def _answer(self, request: bytes) -> bytes:
        try:
            self._calling = True
            try:
                return call(request, self._handles)
            finally:
                self._calling = False
        except KeyboardInterrupt:
            self._calling = False
            return failure("caffe:interrupted", "interrupted")

    def _receive(self) -> bytes | None:
        head = self._read(LENGTH_BYTES)
        return None if head is None else self._read(int.from_bytes(head, "little"))

    def _send(self, answer: bytes) -> None:
        self._write(len(answer).to_bytes(LENGTH_BYTES, "little") + answer)

    def _read(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            piece = os.read(self._source, min(count - len(data), READ_BYTES))
            if not piece:
                return None
            data += piece
        return bytes(data)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._sink, view) :]

    def _discard(self) -> None:
        os.set_blocking(self._source, False)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._source, READ_BYTES):
                pass
        os.set_blocking(self._source, True)


def main() -> None:
    """Answer requests on the standard streams."""
    worker = Worker(os.dup(sys.stdin.fileno()), os.dup(sys.stdout.fileno()))
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGINT, worker.interrupt)
    signal.signal(signal.SIGUSR1, worker.resynchronise)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    threading.Thread(target=worker.watch, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        worker.run()
