"""Options shared by several commands, those of plugins included."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from cafx.cli.completing import plugins

F = TypeVar("F", bound=Callable[..., Any])
Command = Callable[..., Any]

FILE = click.Path(dir_okay=False)
PHASES = click.Choice(["TRAIN", "TEST"], case_sensitive=False)
ALL_GPUS = "all"
AUTO = "auto"
"""In place of a state to resume from: the newest one, if there is any."""
PRECISIONS = click.Choice(["float32", "tf32", "bf16"])

json_option = click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print only results and errors.")
seed_option = click.option("--seed", type=click.IntRange(0), metavar="N", help="Seed of all random streams.")
trust_option = click.option(
    "--trust", is_flag=True, help="Run the code that the net names: modules of Python layers (also CAFX_TRUST=1)."
)
weights_option = click.option(
    "--weights", "-w", multiple=True, metavar="W[,W2]", help="Weights files to load, matched by layer name."
)


@attrs.frozen
class EngineChoice:
    """The engine of a net or solver, as chosen on the command line.

    Attributes:
        name: an engine's name; None for CAFX_ENGINE, else the fastest installed.
        precision: arithmetic precision; None for CAFX_PRECISION, else float32.
        threads: number of threads; None for the engine's default.
        gpu: index of a GPU, which makes the engine one that runs on it; None for no such wish.
    """

    name: str | None = None
    precision: str | None = None
    threads: int | None = None
    gpu: int | None = None

    def keywords(self) -> dict[str, Any]:
        """Keyword arguments for `cafx.kernel.Net` and `cafx.kernel.Solver`.

        Raises:
            CafxError: a GPU is asked for, and the engine named does not run on one, or none can run here.
        """
        keywords = {"engine": self.name, "precision": self.precision, "threads": self.threads}
        if self.gpu is None:
            return keywords
        from cafx.cli.devices import gpu_engine

        return {**keywords, "engine": gpu_engine(self.name, self.gpu), "device": self.gpu}


def _one_gpu(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """The value of ``--gpu`` as a number; CafxError for several GPUs, or for anything else."""
    if text is None or (text.isascii() and text.isdigit()):
        return None if text is None else int(text)
    from cafx.kernel.errors import CafxError

    several = text == ALL_GPUS or "," in text
    raise CafxError(
        "--gpu: one GPU per process" if several else "--gpu: not the number of a GPU",
        found=text,
        expected="one number, as in --gpu 0",
        remedy="'cafx device' lists the GPUs",
    )


def _set_deterministic(_: click.Context, __: click.Parameter, on: bool) -> None:
    if on:
        os.environ["CAFX_DETERMINISTIC"] = "1"


deterministic_option = click.option(
    "--deterministic",
    is_flag=True,
    expose_value=False,
    callback=_set_deterministic,
    help="On a GPU, use only algorithms that give the same result in every run.",
)


def _set_dialect(_: click.Context, __: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    from cafx.kernel.registry import registry
    from cafx.kernel.schema import DIALECT_SETTING

    registry().find("dialect", name)
    os.environ[DIALECT_SETTING] = name


dialect_option = click.option(
    "--dialect",
    metavar="NAME",
    expose_value=False,
    is_eager=True,
    callback=_set_dialect,
    shell_complete=plugins("dialect"),
    help="The fork of Caffe whose fields are meant where installed dialects disagree: ssd, nvidia, …",
)


def engine_options(command: Command) -> Command:
    """Add ``--engine``, ``--gpu``, ``--precision``, ``--deterministic``, ``--threads`` and ``--dialect``.

    All but the last are passed on as one `EngineChoice` named ``engine``.
    """

    @functools.wraps(command)
    def with_engine(
        *arguments: Any, engine: str | None, precision: str | None, threads: int | None, gpu: int | None, **options: Any
    ) -> Any:
        return command(*arguments, engine=EngineChoice(engine, precision, threads, gpu), **options)

    engine_help = "Compute engine: numpy, onednn, cupy, … (default: the fastest installed)."
    gpu_help = "Run on this GPU, by the number that 'cafx device' shows."
    for add_option in (
        dialect_option,
        click.option("--threads", type=click.IntRange(1), metavar="N", help="Number of threads."),
        deterministic_option,
        click.option("--precision", type=PRECISIONS, help="Arithmetic precision (default: float32)."),
        click.option("--gpu", metavar="N", callback=_one_gpu, help=gpu_help),
        click.option("--engine", "-e", metavar="NAME", help=engine_help, shell_complete=plugins("engine")),
    ):
        with_engine = add_option(with_engine)
    return with_engine


def _set_data_folder(_: click.Context, __: click.Parameter, folder: str | None) -> None:
    if folder is not None:
        os.environ["CAFX_DATA"] = str(Path(folder).resolve())


data_option = click.option(
    "--data",
    metavar="DIR",
    expose_value=False,
    is_eager=True,
    callback=_set_data_folder,
    help="Data folder, passed to net.py as $CAFX_DATA.",
)


def state_options(phase: str | None) -> Callable[[F], F]:
    """Add ``--phase``, ``--level`` and ``--stage``: the net state that rules are matched against.

    Args:
        phase: default of ``--phase``; None leaves that option out.
    """
    help_text = "Value of NetState.{}, for include and exclude rules."
    level = click.option("--level", default=0, show_default=True, metavar="N", help=help_text.format("level"))
    stage = click.option(
        "--stage",
        "-s",
        multiple=True,
        metavar="NAME",
        callback=lambda _, __, names: tuple(split_commas(names)),
        help=help_text.format("stage (repeatable, or with commas)"),
    )

    def add_options(command: F) -> F:
        command = level(stage(command))
        if phase is None:
            return command
        return click.option(
            "--phase",
            type=PHASES,
            default=phase,
            show_default=True,
            metavar="[TRAIN|TEST]",
            help=help_text.format("phase"),
        )(command)

    return add_options


def split_commas(values: tuple[str, ...]) -> list[str]:
    """``("a,b", "c")`` as a, b, c: the value of a repeatable option that also takes commas."""
    return [name for value in values for name in value.split(",") if name]


def rank_options(function: F) -> F:
    """Decorator: ``--communicator``, ``--split-batch`` and ``--sync-bn``, for training in several processes."""
    for option in reversed(
        [
            click.option(
                "--communicator",
                metavar="NAME",
                shell_complete=plugins("communicator"),
                help="How processes exchange gradients: mpi (default, if several are started), nccl, local.",
            ),
            click.option("--split-batch", is_flag=True, help="Divide each batch among the processes."),
            click.option("--compress", type=click.Choice(["bf16"]), help="Send gradients in fewer bits."),
            click.option("--sync-bn", is_flag=True, help="BatchNorm uses the statistics of all processes' batches."),
        ]
    ):
        function = option(function)
    return function
