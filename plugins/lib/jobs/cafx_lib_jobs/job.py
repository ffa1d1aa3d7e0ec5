"""A job as a command runs it: its folder, its tasks, progress, what is kept and what is told."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from cafx.kernel.files import shown
from cafx_lib_jobs.folder import SUFFIX, JobFolder, job_folder
from cafx_lib_jobs.manifest import Manifest
from cafx_lib_jobs.options import JobChoice
from cafx_lib_jobs.progress import Progress
from cafx_lib_jobs.running import run
from cafx_lib_jobs.task import Function, Outcome, Task

MOST_SHOWN = 1000
"""Bad records that are listed one by one."""


@attrs.frozen(kw_only=True)
class Job:
    """A function over the slices of a list of records.

    Attributes:
        function: see `cafx_lib_jobs.task.Function`.
        arguments: its arguments by name, plain values.
        records: what it works on, plain values.
        manifest: how the records are cut.
        label, unit: what is done to what, for the progress bar.
        target: the result; the job's folder is next to it, and is kept if the job does not end. None if the result
            is not a file: then nothing is kept.
        inputs: the files that a slice's output depends on, from its records.
        outs: where the outputs go that are results themselves; none if the outputs are combined.
    """

    function: Function
    arguments: Mapping[str, Any]
    records: Sequence[Any]
    manifest: Manifest
    label: str
    unit: str = "images"
    target: str | Path | None = None
    inputs: Callable[[Sequence[Any]], Sequence[str]] = lambda _: ()
    outs: Sequence[Path] = ()

    @contextlib.contextmanager
    def outcomes(self, choice: JobChoice) -> Iterator[Iterator[Outcome]]:
        """Run the job; within the ``with`` block, iterate over the outcomes of the slices, in order.

        If the block ends without an error, the intermediate outputs are removed. If not, finished slices are kept, and
        the next run of the same job goes on.

        Args:
            choice: what runs it.

        Raises:
            CafxError: a slice fails, or the job's folder cannot be used.
        """
        folder = JobFolder(self._folder(choice), self.label)
        done: list[Outcome] = []
        complete = False
        try:
            tasks = self._tasks(folder)
            with choice.open() as executor, Progress(self.label, len(self.records), self.unit) as progress:
                yield self._watched(run(tasks, executor, progress), done)
                complete = True
            click.echo(progress.summary(executor.workers), err=True)
        finally:
            self._tell(done)
            if complete or self.target is None or not folder.has_outputs():
                folder.discard()
            else:
                kept = sum(task.note.exists() for task in tasks)
                where = f"{kept} of {len(tasks)} slices are kept in {shown(folder.path)}"
                click.echo(f"{where}; run the same command again to continue", err=True)
            folder.close()

    def _folder(self, choice: JobChoice) -> Path:
        if self.target is not None:
            return job_folder(self.target)
        shared = Path.cwd() if choice.address else None
        return Path(tempfile.mkdtemp(prefix="cafx-", suffix=SUFFIX, dir=shared))

    def _tasks(self, folder: JobFolder) -> list[Task]:
        tasks = [
            Task(
                function=self.function,
                arguments=self.arguments,
                records=records,
                number=each.number,
                out=str((self.outs[each.number] if self.outs else folder.output(each.number)).absolute()),
                folder=str(folder.path.absolute()),
                inputs=tuple(self.inputs(records)),
            )
            for each, records in self.manifest.cut(self.records)
        ]
        self._refuse_foreign(tasks)
        return tasks

    def _refuse_foreign(self, tasks: Sequence[Task]) -> None:
        """Refuse to overwrite results that are not this job's."""
        from cafx_lib_feed.database import checked_target

        for task, out in zip(tasks, self.outs, strict=False):
            if not task.note.exists():
                checked_target(out)

    def _watched(self, outcomes: Iterator[Outcome], done: list[Outcome]) -> Iterator[Outcome]:
        for outcome in outcomes:
            done.append(outcome)
            yield outcome

    def _tell(self, done: Sequence[Outcome]) -> None:
        """List what was left out."""
        bad = [text for outcome in done for text in outcome.report.bad]
        for text in bad[:MOST_SHOWN]:
            click.echo(f"skipped: {text}", err=True)
        if len(bad) > MOST_SHOWN:
            click.echo(f"skipped: {len(bad) - MOST_SHOWN} more", err=True)
