"""The folder of a job: outputs of its slices, drafts, and side records."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import IO

from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write, shown
from cafx_lib_jobs.task import remove

SUFFIX = ".job"
MARK = "job.json"


def job_folder(target: str | Path) -> Path:
    """The folder of the job that makes a file or folder.

    Example:
        >>> str(job_folder("data/train_lmdb"))
        'data/train_lmdb.job'
    """
    return Path(target).with_name(Path(target).name + SUFFIX)


class JobFolder:
    """A folder that belongs to one run of a job at a time.

    Args:
        path: the folder; it is created.
        label: what the job does, for people who find the folder.

    Raises:
        CafxError: it exists and is no job's folder, or another process runs the job, or it cannot be created.
    """

    def __init__(self, path: Path, label: str) -> None:
        self.path = path
        self._lock: IO[bytes] | None = None
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            remedy = "check that the folder above it exists and is writable"
            raise CafxError(f"cannot be created: {error.strerror}", where=shown(path), remedy=remedy) from None
        mark = path / MARK
        if not mark.is_file():
            if any(path.iterdir()):
                raise CafxError(
                    "exists and is not the folder of a job", where=shown(path), remedy="rename or remove it"
                )
            with atomic_write(mark) as file:
                file.write(json.dumps({"cafx job": label}).encode())
        self._lock = mark.open("rb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise CafxError("another process is running this job", where=shown(path), remedy="wait for it") from None
        for draft in path.glob("*.part"):
            remove(draft)

    def output(self, number: int) -> Path:
        """Where the output of a slice goes if it is only an intermediate result."""
        return self.path / f"{number:05d}.out"

    def has_outputs(self) -> bool:
        """Whether any slice is finished."""
        return any(each.name != MARK for each in self.path.glob("*.json"))

    def discard(self) -> None:
        """Remove the folder."""
        remove(self.path)

    def close(self) -> None:
        """Let other processes use the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
