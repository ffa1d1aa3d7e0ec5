"""Options of commands that can run as a job."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
import click

from cafx_lib_jobs.executor import Executor

LOCAL = "local"
Command = Callable[..., Any]

shards_option = click.option(
    "--shards",
    type=click.IntRange(1, 99999),
    metavar="N",
    help="Write N databases, DB-00000-of-0000N and so on, each by its own writer; implies --executor local.",
)


@attrs.frozen
class JobChoice:
    """How to run a job, as chosen on the command line; false where it was not asked for.

    Attributes:
        executor: name of the plugin; None for none.
        workers: number of workers; None for one per core.
        address: of a cluster.
    """

    executor: str | None = None
    workers: int | None = None
    address: str | None = None

    def __bool__(self) -> bool:
        return self.executor is not None

    def open(self) -> Executor:
        """The executor, not yet started.

        Raises:
            CafxError: no installed plugin provides it.
            click.UsageError: it takes no address.
        """
        from cafx.kernel import registry

        kind = registry().load("executor", self.executor or LOCAL)
        if self.address is not None and not kind.takes_address:
            raise click.UsageError(f"--address: executor '{self.executor}' has none; --executor ray has.")
        opened: Executor = kind(self.workers, self.address)
        return opened


def job_options(command: Command) -> Command:
    """Add ``--executor``, ``--workers`` and ``--address``, passed on as one `JobChoice` named ``jobs``."""

    @functools.wraps(command)
    def with_jobs(
        *arguments: Any, executor: str | None, workers: int | None, address: str | None, **options: Any
    ) -> Any:
        if executor is None and address is not None:
            raise click.UsageError("--address needs --executor ray.")
        chosen = executor or (None if workers is None else LOCAL)
        return command(*arguments, jobs=JobChoice(chosen, workers, address), **options)

    for add_option in (
        click.option("--address", metavar="HOST:PORT", help="Address of the Ray cluster (default: one of its own)."),
        click.option(
            "--workers", type=click.IntRange(0), metavar="N", help="Workers of the job (default: one per core)."
        ),
        click.option(
            "--executor", metavar="NAME", help="Run as a job in slices: local (processes) or ray (a cluster)."
        ),
    ):
        with_jobs = add_option(with_jobs)
    return with_jobs
