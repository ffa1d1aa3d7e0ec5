"""Runs of a command in this process: what they print, how they end, and how they end when interrupted."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import attrs

from cafx.conformance.suite import Subject

UNINTERRUPTED = ("__exit__", "__del__", "close", "<genexpr>")
"""Functions that clean up, in which an error is not one in the middle of the work; generators are closed anywhere."""


@attrs.frozen
class Outcome:
    """How a run has ended.

    Attributes:
        code: the exit code.
        output, error: what it has printed to standard output and standard error.
        raised: the function in which it was interrupted; empty if it was not.
    """

    code: int
    output: str
    error: str
    raised: str = ""


class Unread(io.StringIO):
    """A standard output that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this

    def fileno(self) -> int:
        """A descriptor of its own, which the command may replace."""
        return self._file.fileno()

    def write(self, text: str, /) -> int:
        """Fail as a closed pipe does."""
        raise BrokenPipeError(32, "Broken pipe")


def unread() -> Unread:
    """A new standard output that nobody reads."""
    return Unread()


def run_command(subject: Subject, arguments: Sequence[str], folder: Path, output: io.StringIO | None = None) -> Outcome:
    """Run a command in a folder, as ``cafx NAME ARGUMENTS`` does.

    Args:
        subject: the command.
        arguments: the command line after the command's name.
        folder: the working directory of the run.
        output: standard output (default: one that is read).
    """
    from cafx.cli.main import run

    out, error = output or io.StringIO(), io.StringIO()
    with _settings_kept(), contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code = run(list(arguments), subject.thing, f"cafx {subject.type}")
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return Outcome(code, out.getvalue(), error.getvalue())


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Undo what a command does to the environment."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def points_of(subject: Subject, arguments: Sequence[str], folder: Path) -> int:
    """The number of calls of functions of the command's module in a run: the points at which it can be interrupted."""
    count = 0

    def note(code: CodeType) -> None:
        nonlocal count
        count += 1

    with _watching(subject, note):
        run_command(subject, arguments, folder)
    return count


def interrupted_run(
    subject: Subject, arguments: Sequence[str], folder: Path, point: int, error: Callable[[], BaseException]
) -> Outcome:
    """Run a command and raise an error in the ``point``-th call of a function of its module, counted from 1."""
    count, raised = 0, ""

    def note(code: CodeType) -> None:
        nonlocal count, raised
        count += 1
        if count == point:
            raised = code.co_qualname
            raise error()  # which ends the watching, too

    with _watching(subject, note):
        outcome = run_command(subject, arguments, folder)
    return attrs.evolve(outcome, raised=raised)


@contextlib.contextmanager
def _watching(subject: Subject, note: Callable[[CodeType], None]) -> Iterator[None]:
    """Call ``note`` whenever a function of the command's module or package is called."""
    package = subject.plugin.value.partition(":")[0].partition(".")[0]

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name not in UNINTERRUPTED:
            name = frame.f_globals.get("__name__", "")
            if name.partition(".")[0] == package:
                note(frame.f_code)

    previous = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(previous)


def files_of(folder: Path) -> dict[str, bytes]:
    """The files in a folder and its subfolders, with their contents; without those by which databases are locked."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.lower().startswith("lock")
    }
