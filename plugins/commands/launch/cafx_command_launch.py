"""``cafx launch``: several processes that train one net together, by MPI's own launcher."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from cafx.cli.spelling import respelled
from cafx.kernel import CafxError, registry

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

COMMUNICATOR = "mpi"
MPIEXEC_SETTING = "CAFX_MPIEXEC"
THREADS = "OMP_NUM_THREADS"
RESUME = ("--snapshot", "auto")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-n", "--processes", type=click.IntRange(1), default=2, show_default=True, help="Number of processes.")
@click.option("--hosts", metavar="A,B,…", help="Machines to start them on, as mpiexec's -hosts takes them.")
@click.option(
    "--max-restarts",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="After a crash, start again from the newest snapshot, at most N times.",
)
@click.option("--mpiexec", metavar="PATH", help=f"MPI's launcher (default: {MPIEXEC_SETTING}, else the one installed).")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="train …")
def launch(
    processes: int, hosts: str | None, max_restarts: int, mpiexec: str | None, arguments: tuple[str, ...]
) -> int:
    """Train one net in several processes.

    What follows is the command of one process: train and its options, or the path of a Python script. Each process
    trains on its part of the data; gradients are summed over all of them by MPI. Without further options, the
    effective batch is N times that of the prototxt; --split-batch divides it instead.

    Ctrl-C and SIGTERM save a snapshot and stop; a second one ends all processes. Where a cluster has a launcher of
    its own, use that: mpiexec -n 4 cafx train net.py, or srun.

    \b
    Examples:
      cafx launch -n 4 train net.py
      cafx launch -n 2 --max-restarts 3 train --solver solver.prototxt --split-batch
    """
    check_usage(arguments)
    registry().find("communicator", COMMUNICATOR)
    command = [launcher(mpiexec), "-n", str(processes), *(["-hosts", hosts] if hosts else []), *program(arguments)]
    environment = settings(os.environ, processes)
    for restart in range(max_restarts + 1):
        code, stopped = run(command, environment)
        if code == 0 or stopped or restart == max_restarts:
            return code
        click.echo(f"exit code {code}; starting again ({restart + 1} of {max_restarts})", err=True)
        if restart == 0 and arguments[0] == "train" and RESUME[0] not in arguments:
            command += RESUME
    return code


def check_usage(arguments: Sequence[str]) -> None:
    """Report a wrong option of ``train`` once, before it is started N times; its help is shown, too.

    Args:
        arguments: ``train`` and its options, or a script and its.

    Raises:
        click.UsageError: an option is unknown, or lacks its value.
    """
    root = click.get_current_context().find_root()
    if arguments[0] == "train" and isinstance(root.command, click.Group):
        train = root.command.get_command(root, "train")
        if train is not None:
            words = respelled(train, arguments[1:], root)
            train.make_context("train", words, parent=root).close()


def launcher(stated: str | None) -> str:
    """The path of MPI's launcher.

    Args:
        stated: as on the command line.

    Raises:
        CafxError: there is none.
    """
    name = stated or os.environ.get(MPIEXEC_SETTING)
    beside = Path(sys.executable).with_name("mpiexec")
    found = shutil.which(name) if name else str(beside) if beside.is_file() else shutil.which("mpiexec")
    if found is None:
        remedy = "install your cluster's MPI, or run: pip install mpich"
        raise CafxError(f"no MPI launcher '{name or 'mpiexec'}' is found", remedy=remedy)
    return found


def program(arguments: Sequence[str]) -> list[str]:
    """The command of one process.

    Args:
        arguments: ``train`` and its options, or a script and its.

    Raises:
        CafxError: another command of ``cafx``.

    Example:
        >>> program(["train", "net.py"])[1:]
        ['-P', '-m', 'cafx.cli', 'train', 'net.py']
    """
    if arguments[0] == "train":
        return [sys.executable, "-P", "-m", "cafx.cli", *arguments]
    if arguments[0].endswith(".py"):
        return [sys.executable, "-m", "mpi4py", *arguments]
    raise CafxError("only training runs in several processes", found=arguments[0], expected="train …, or a script.py …")


def settings(environment: Mapping[str, str], processes: int) -> dict[str, str]:
    """The environment of each process, with its share of the processors.

    Args:
        environment: that of this process.
        processes: number of processes.
    """
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    return {"CAFX_COMMUNICATOR": COMMUNICATOR, THREADS: threads, **environment}


def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, bool]:
    """Run MPI's launcher in a session of its own, and pass signals on.

    Args:
        command: its command line.
        environment: its environment.

    Returns:
        Its exit code, and whether a signal has asked to stop.
    """
    with (
        subprocess.Popen(  # nosec B603 - the user's own command
            command, env=dict(environment), stdin=subprocess.DEVNULL, start_new_session=True
        ) as process,
        _passing_on(process) as asked,
    ):
        code = process.wait()
    return code if code >= 0 else 128 - code, bool(asked)


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass the first SIGINT or SIGTERM on as a request for a snapshot, and end all processes at the second."""
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        # launchers pass SIGUSR1 on to all processes; SIGTERM ends them
        process.send_signal(signal.SIGUSR1 if len(asked) == 1 else signal.SIGTERM)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def cases() -> Iterable[CommandCase]:
    """A launcher that is not installed; a run itself needs MPI, as the tests have it."""
    from cafx.conformance.kinds.command import CommandCase

    yield CommandCase(
        "mpi",
        ["-n", "2", "train", "net.py"],
        endless="needs MPI, which need not be installed",
        skip={"unknown-option": "passes options on to the processes that it starts"},
    )
