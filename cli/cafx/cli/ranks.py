"""One of several processes that train together: which communicator, and how all of them end."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from cafx.cli.errors import line_of
from cafx.cli.process import FAILED
from cafx.kernel import CafxError, registry
from cafx.kernel.net import Communicator
from cafx.kernel.training import make_communicator

SETTING = "CAFX_COMMUNICATOR"
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""Variables by which launchers of MPI tell the number of processes."""
MPI_EXTRA = "cafx[mpi]"
PATIENCE = 1.0
"""Seconds that other ranks leave to rank 0 for reporting an error that all of them have."""


def communicator_of(name: str | None, *, sync_statistics: bool = False, compress: str | None = None) -> Communicator:
    """The communicator of this process.

    Args:
        name: as on the command line; None for CAFX_COMMUNICATOR, MPI if a launcher of MPI has started this process
            as one of several, else this process alone.
        sync_statistics, compress: see `Communicator`.

    Raises:
        CafxError: it is unknown, or no library for it is installed.
    """
    name = name or os.environ.get(SETTING) or ("mpi" if launched(os.environ) else None)
    try:
        made = make_communicator(name)
    except CafxError as error:
        if name == "mpi" and "pip install" not in (error.remedy or ""):
            error.remedy = registry().install_line(MPI_EXTRA)
        raise
    if made.size > 1:
        made.syncs_statistics = sync_statistics
    if made.size > 1 and compress:
        made.compress_gradients(compress)
    return made


def launched(environment: Mapping[str, str]) -> bool:
    """Whether a launcher of MPI has started this process as one of several.

    Example:
        >>> launched({"PMI_SIZE": "2"}), launched({"PMI_SIZE": "1"}), launched({"SLURM_NTASKS": "4"})
        (True, False, False)
    """
    given = [environment.get(name, "") for name in SIZES]
    if "PMIX_RANK" in environment or "PMI_RANK" in environment:
        given.append(environment.get("SLURM_STEP_NUM_TASKS", ""))
    return any(each.isdigit() and int(each) > 1 for each in given)


@contextmanager
def ending_together(communicator: Communicator) -> Iterator[None]:
    """Within this context, an error of one rank ends all: the others would wait for it for ever."""
    try:
        yield
    except BaseException as error:
        if communicator.size > 1:
            if not communicator.is_root:
                time.sleep(PATIENCE)
            _tell(communicator.rank, error)
            communicator.abort(FAILED)
        raise


def _tell(rank: int, error: BaseException) -> None:
    if isinstance(error, CafxError):
        click.echo(f"error: rank {rank}: {line_of(error)}", err=True)
    elif not isinstance(error, KeyboardInterrupt):
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
        click.echo(f"error: rank {rank}: {type(error).__name__}: {error}", err=True)
