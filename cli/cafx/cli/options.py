"""Options several commands share, and what they do."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
)  # fmt: skip

FILE = click.Path(dir_okay=False)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print results and errors only.")
weights_option = click.option(
    "--weights", "-w", multiple=True, metavar="W[,W2]", help="Weights files, matched by layer name."
)


def _limit_threads(_: click.Context, __: click.Parameter, threads: int | None) -> int | None:
    """Numerical libraries read these when they are first imported, which is later than this."""
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    return threads


def _choose_precision(_: click.Context, __: click.Parameter, precision: str | None) -> str | None:
    """Engines read this when they are made."""
    if precision is not None:
        os.environ["CAFX_PRECISION"] = precision
    return precision


def _offer_data(_: click.Context, __: click.Parameter, folder: str | None) -> str | None:
    """A net.py finds its data where this variable says."""
    if folder is not None:
        os.environ["CAFX_DATA"] = str(Path(folder).resolve())
    return folder


def engine_options(command: F) -> F:
    """``--engine``, ``--precision`` and ``--threads``."""
    for add in (
        click.option("--engine", "-e", metavar="NAME", help="numpy, onednn, ...; default the best."),
        click.option(
            "--precision", type=click.Choice(["float32", "bf16"]), expose_value=False, is_eager=True,
            callback=_choose_precision, help="What the engine computes in; default float32.",
        ),
        click.option(
            "--threads", type=click.IntRange(1), expose_value=False, is_eager=True,
            callback=_limit_threads, help="How many threads the libraries may use.",
        ),
    ):  # fmt: skip
        command = add(command)
    return command


data_option = click.option(
    "--data", metavar="DIR", expose_value=False, is_eager=True, callback=_offer_data,
    help="Where a net.py finds its data; it reads it as CAFX_DATA.",
)  # fmt: skip


def state_options(phase: str | None) -> Callable[[F], F]:
    """``--phase`` (unless it is None), ``--level`` and ``--stage``: what the rules are held against."""

    def add(command: F) -> F:
        command = click.option("--stage", "-s", multiple=True, help="A stage to set; may be repeated.")(command)
        command = click.option("--level", default=0, show_default=True, help="The level.")(command)
        if phase is not None:
            choice = click.Choice(["TRAIN", "TEST"], case_sensitive=False)
            command = click.option("--phase", type=choice, default=phase, show_default=True, help="The phase.")(command)
        return command

    return add


def listed(values: tuple[str, ...]) -> list[str]:
    """``("a,b", "c")`` as a, b, c."""
    return [name for value in values for name in value.split(",") if name]


def ignore_overflow() -> None:
    """No warnings from NumPy on the way to an infinity: whoever must know is told in words."""
    import numpy as np

    np.seterr(all="ignore")


@functools.cache
def console() -> Any:
    """Where tables go: standard output, at its own width, or wide enough where it is no terminal."""
    from rich.console import Console

    probe = Console()
    return probe if probe.is_terminal else Console(width=160)


def narrow() -> bool:
    """Whether a table of many columns has to be folded to be read."""
    return bool(console().width < 120)
