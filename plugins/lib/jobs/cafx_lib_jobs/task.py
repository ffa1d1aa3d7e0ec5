"""A task: a function, its arguments and a slice of records, which give one output; an output knows its task."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs

from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write, shown
from cafx_lib_jobs.hold import Hold

FORMAT = 1
SETTINGS = "CAFX_"
IGNORED = ("CAFX_CACHE", "CAFX_MAX_BYTES")
"""Environment variables that results depend on, and those among them that they do not depend on."""
MOST_NOTE = 64 << 20
"""Bytes of a side record, at most."""


@attrs.frozen
class Report:
    """What a task says about its output.

    Attributes:
        count: records that are in the output.
        bad: why each of the others is not.
        values: plain values for whoever combines the outputs.
    """

    count: int
    bad: Sequence[str] = ()
    values: Mapping[str, Any] = attrs.field(factory=dict)


Function = Callable[..., Report]
"""Called with the records, the path to write to, the worker's `Hold`, and the task's arguments by name."""


@attrs.frozen
class Task:
    """A pure function of a slice of records; it writes one output, a file or a folder.

    The output appears under its name once it is complete. A side record next to it in the job's folder then tells
    which function, arguments, records and input files gave it, and a task whose side record agrees is finished.

    Attributes:
        function: a function of a module, see `Function`.
        arguments: its arguments, the same for all tasks: plain values.
        records: the slice: plain values.
        number: of the slice.
        out: path of the output.
        folder: the job's folder, for drafts and side records.
        inputs: files and folders whose content the output depends on.
        cwd: the folder to which relative paths refer.
        identity: a number for the function, its version, arguments, records, and the settings CAFX_*.
    """

    function: Function
    arguments: Mapping[str, Any]
    records: Sequence[Any]
    number: int
    out: str
    folder: str
    inputs: Sequence[str] = ()
    cwd: str = attrs.field(factory=os.getcwd)
    identity: str = attrs.field(default=attrs.Factory(lambda self: self._identity(), takes_self=True))

    @property
    def note(self) -> Path:
        """The side record."""
        return Path(self.folder) / f"{self.number:05d}.json"

    def _identity(self) -> str:
        name = f"{self.function.__module__}:{self.function.__qualname__}"
        settings = {key: value for key, value in os.environ.items() if key.startswith(SETTINGS) and key not in IGNORED}
        said = [FORMAT, name, _version(self.function.__module__), self.arguments, self.records, settings]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=_listed).encode()).hexdigest()

    def finished(self) -> Outcome | None:
        """The outcome of an earlier run of the same task on the same inputs; None if there is none."""
        try:
            if self.note.stat().st_size > MOST_NOTE:
                return None
            said = json.loads(self.note.read_bytes())
            report = said["report"]
            agrees = said["task"] == self.identity and said["size"] == size_of(Path(self.out))
            if not agrees or said["inputs"] != stamp(self.inputs):
                return None
            return Outcome(self.number, self.out, Report(report["count"], report["bad"], report["values"]), reused=True)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def run(self, hold: Hold) -> Outcome:
        """Run the function and give its output its name.

        Raises:
            Exception: whatever the function raises; then there is no output.
        """
        inputs, out = stamp(self.inputs), Path(self.out)
        draft = Path(self.folder) / f"{self.number:05d}.{secrets.token_hex(4)}.part"
        try:
            report = self.function(self.records, draft, hold, **self.arguments)
            self.note.unlink(missing_ok=True)
            remove(out)
            draft.rename(out)
        finally:
            remove(draft)
        said = {"task": self.identity, "inputs": inputs, "size": size_of(out), "report": attrs.asdict(report)}
        with atomic_write(self.note) as file:
            file.write(json.dumps(said).encode())
        return Outcome(self.number, self.out, report)


@attrs.frozen
class Outcome:
    """A finished task.

    Attributes:
        number: of its slice.
        out: path of its output.
        report: what it says.
        reused: whether an earlier run had finished it.
    """

    number: int
    out: str
    report: Report
    reused: bool = False


@attrs.frozen
class Failure:
    """A task that failed.

    Attributes:
        number: of its slice.
        error: fields of the CafxError, if it was one.
        reason: what happened, otherwise.
        trace: the traceback.
    """

    number: int
    error: Mapping[str, Any] | None = None
    reason: str = ""
    trace: str = ""

    def exception(self, attempts: int, tasks: int) -> CafxError:
        """The error to raise."""
        if self.error is not None:
            return CafxError(**self.error)
        times = f" {attempts} times" if attempts > 1 else ""
        remedy = "finished slices are kept; --debug shows the traceback" if self.trace else "finished slices are kept"
        raised = CafxError(f"slice {self.number + 1} of {tasks} failed{times}: {self.reason}", remedy=remedy)
        raised.__cause__ = RuntimeError(self.trace) if self.trace else None
        return raised


def perform(task: Task, hold: Hold) -> Outcome | Failure:
    """Run a task in a worker; errors are returned, not raised."""
    try:
        _enter(task.cwd)
        return task.run(hold)
    except CafxError as error:
        plain = {name: _plain(getattr(error, name)) for name in ("message", "where", "found", "expected", "remedy")}
        return Failure(task.number, plain)
    except Exception as error:  # noqa: BLE001 - it is raised where the job was started
        return Failure(task.number, None, f"{type(error).__name__}: {error}", traceback.format_exc())


def _enter(folder: str) -> None:
    """Make relative paths mean what they mean where the job was started."""
    if str(Path.cwd()) == folder:
        return
    try:
        os.chdir(folder)
    except OSError as error:
        raise CafxError(
            f"worker on {os.uname().nodename}: folder '{shown(folder)}' cannot be entered: {error.strerror}",
            remedy="the machines of a cluster must share the folders of a job",
        ) from None


def _listed(value: Any) -> Any:
    """A range of numbers, for JSON; TypeError for what is no plain value."""
    if isinstance(value, range):
        return [value.start, value.stop, value.step]
    raise TypeError(f"{type(value).__name__} is not a plain value")


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, float)) else str(value)


def _version(module: str) -> str:
    """The version of a module's distribution, if it has one of that name."""
    try:
        return metadata.version(module.partition(".")[0].replace("_", "-"))
    except metadata.PackageNotFoundError:
        return ""


def stamp(inputs: Sequence[str]) -> str:
    """A number for the sizes and times of files, and of the files in folders but for locks."""
    found = [(each, _stats(Path(each))) for each in inputs]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _stats(path: Path) -> Any:
    try:
        if path.is_dir():
            files = sorted(each for each in path.iterdir() if not each.name.lower().startswith("lock"))
            return [(each.name, _stats(each)) for each in files if each.is_file()]
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files of a folder but for locks; OSError if it does not exist."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.iterdir() if not each.name.lower().startswith("lock"))
    return path.stat().st_size


def remove(path: Path) -> None:
    """Remove a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
