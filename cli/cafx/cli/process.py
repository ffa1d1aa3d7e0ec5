"""The process of a command: its standard streams, Ctrl-C, and how it ends. Nothing heavy is imported here."""

from __future__ import annotations

import _thread
import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from cafx.cli.streams import SafeStream

FAILED, INTERRUPTED, BROKEN_PIPE, TERMINATED = 1, 130, 141, 143
"""Exit codes; those above 128 are 128 and the number of a signal, as a shell reports them."""
IN, OUT, ERROR = range(3)
"""Descriptors of the standard streams."""
SOON = 0.01
"""Seconds after which an interrupt is repeated that was raised where none can be."""


class _State:
    """Whether Ctrl-C was pressed outside training."""

    interrupted = False


def interrupted() -> bool:
    """Whether Ctrl-C was pressed: some libraries turn the KeyboardInterrupt into an error of their own."""
    return _State.interrupted


def exit_after(program: Callable[[], int]) -> NoReturn:
    """Run a program and exit with its exit code.

    Ctrl-C ends it with one line and code 130. If nobody reads its output any more, or standard output is
    closed, it ends silently with code 141.

    Args:
        program: returns an exit code; it reports its errors itself.
    """
    _State.interrupted = False
    streams = complete_streams()
    with _interrupts():
        code = _code_of(program, streams)
    for stream in streams:
        _flush(stream)
    sys.exit(BROKEN_PIPE if any(stream.broken for stream in streams) else code)


def _code_of(program: Callable[[], int], streams: Sequence[SafeStream]) -> int:
    code = 0
    try:
        code = program()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _told("interrupted", INTERRUPTED)
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as error:
        return code or _told(f"error: standard output: {error.strerror}", FAILED)
    except SystemExit:
        if any(stream.broken for stream in streams):
            return BROKEN_PIPE
        raise
    return code


def _told(text: str, code: int) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
    return code


def _flush(stream: SafeStream) -> None:
    try:
        stream.flush()
    except OSError:
        _discard(stream)


def _discard(stream: SafeStream) -> None:
    """Let what is left in a stream's buffer go nowhere, so that the interpreter can close it."""
    target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, stream.fileno())
    os.close(target)


def complete_streams() -> tuple[SafeStream, SafeStream]:
    """Open the standard streams that are closed, and escape control characters in what is written to them.

    If a closed one stayed closed, the next file to be opened would be in its place. A closed standard output
    is like a pipe that nobody reads. Python's standard error gets a descriptor of its own, so that descriptor 2
    can be silenced while a C library works that writes to it.

    Returns:
        The new standard output and standard error.
    """
    if not _is_open(IN):
        _occupy(IN, os.open(os.devnull, os.O_RDONLY))
        sys.stdin = open(IN, encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process
    if not _is_open(OUT):
        unread, end = os.pipe()
        os.close(unread)
        _occupy(OUT, end)
    if not _is_open(ERROR):
        _occupy(ERROR, os.open(os.devnull, os.O_WRONLY))
    output, error = _stream(OUT, sys.stdout), _stream(os.dup(ERROR), sys.stderr)
    error.reconfigure(line_buffering=True)
    sys.stdout, sys.stderr = output, error
    return output, error


def _stream(descriptor: int, previous: Any) -> SafeStream:
    errors = "surrogateescape" if getattr(previous, "errors", "") == "surrogateescape" else "backslashreplace"
    binary = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
    return SafeStream(binary, encoding=getattr(previous, "encoding", None) or "utf-8", errors=errors)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _occupy(descriptor: int, source: int) -> None:
    """Make ``descriptor`` another name of ``source``, inherited by child processes."""
    if source != descriptor:
        os.dup2(source, descriptor)
        os.close(source)
    os.set_inheritable(descriptor, True)


@contextmanager
def _interrupts() -> Iterator[None]:
    """Within this context, Ctrl-C raises KeyboardInterrupt, once more if the first one was raised where none can be.

    Afterwards, Ctrl-C ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = sys.unraisablehook

    def handle(number: int, frame: FrameType | None) -> None:
        _State.interrupted = True
        raise KeyboardInterrupt

    def again(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            later = threading.Timer(SOON, _thread.interrupt_main)  # here, it would be raised in this function
            later.daemon = True
            later.start()
        else:
            previous(unraisable)

    sys.unraisablehook = again
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if not ignored:  # a background job of a shell ignores Ctrl-C, and goes on doing so
        signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        sys.unraisablehook = previous
        if not ignored:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
