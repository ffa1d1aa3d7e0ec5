"""What Caffe's programs share: options of their log, the choice of a GPU, calls of ``cafx``."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from caffe import glog
from cafx.cli.group import cafx
from cafx.cli.spelling import SpelledCommand
from cafx.kernel import CafxError, registry
from cafx.kernel.net import chosen_engine, engine_of_kind

SOURCE = "caffe.cpp:204"
"""Source file and line that Caffe's log names."""
ALL = "all"
LEVEL, FOLDER = "GLOG_minloglevel", "GLOG_log_dir"
"""Environment variables of glog."""
Command = Callable[..., Any]


def program(command: Command) -> Command:
    """Make a function a program with Caffe's spelling of options, the log options of glog, and ``--debug``."""
    hidden: dict[str, Any] = {"hidden": True, "expose_value": False}
    for name in ("--logtostderr", "--alsologtostderr", "--colorlogtostderr"):
        command = click.option(name, is_flag=True, **hidden)(command)
    for name in ("--stderrthreshold", "--v"):
        command = click.option(name, **hidden)(command)
    command = click.option("--minloglevel", type=click.IntRange(0, 3), callback=_set_level, **hidden)(command)
    command = click.option("--log_dir", callback=_set_folder, **hidden)(command)
    return click.command(cls=SpelledCommand, context_settings={"help_option_names": ["-h", "--help"]})(command)


def _set_level(_: click.Context, __: click.Parameter, level: int | None) -> None:
    if level is not None:
        os.environ[LEVEL] = str(level)


def _set_folder(_: click.Context, __: click.Parameter, folder: str | None) -> None:
    if folder is not None:
        os.environ[FOLDER] = folder


def log_file(name: str) -> str | None:
    """The file in the folder of ``--log_dir`` or ``GLOG_log_dir``; None without such a folder."""
    folder = os.environ.get(FOLDER)
    return str(Path(folder) / f"{name}.INFO") if folder else None


def call(*arguments: str) -> int:
    """Run a command of ``cafx``, for example ``call("draw", "net.prototxt", "net.png")``; returns its exit code."""
    code = cafx.main(list(arguments), prog_name="cafx", standalone_mode=False, obj=click.get_current_context().obj)
    return code if isinstance(code, int) else 0


def output_of(*arguments: str) -> str:
    """The standard output of a command of ``cafx``."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        call(*arguments)
    return output.getvalue()


class LogStream(io.TextIOBase):
    """A text stream whose lines go to Caffe's log.

    Args:
        source: source file and line that the log names.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.rest = ""

    def write(self, text: str) -> int:
        """Write the lines that are complete, and keep the rest."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            glog.line(glog.INFO, self.source, line)
        return len(text)


class _Warnings(logging.Handler):
    """Writes warnings of cafx to Caffe's log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        glog.line(min(record.levelno // 10 - 2, glog.FATAL), glog.COMMON, record.getMessage())


@contextlib.contextmanager
def logged_warnings() -> Iterator[None]:
    """Within this context, warnings are lines of Caffe's log."""
    handler, log = _Warnings(logging.WARNING), logging.getLogger("cafx")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def engine_arguments(gpu: str | None) -> list[str]:
    """Options of ``cafx`` for Caffe's ``-gpu``; without a GPU, those of the CPU, after one notice.

    An engine that CAFX_ENGINE names is left alone.

    Args:
        gpu: the value: a number, several with commas, or ``all``; None or empty for the default.

    Raises:
        CafxError: it is something else; or there is no GPU, and CAFX_STRICT_MODE is 1.
    """
    if not gpu:
        return []
    numbers = ["0"] if gpu == ALL else gpu.split(",")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise CafxError("-gpu: not the number of a GPU", found=gpu, expected="a number, as in -gpu 0, or all")
    name, notice = engine_of_kind(registry(), gpu=True, asked=f"-gpu {gpu}")
    if notice:
        glog.line(glog.WARNING, SOURCE, f"{notice}; using the CPU")
        return ["--engine", str(name)]
    chosen = chosen_engine()
    if name is None and chosen and not registry().load("engine", chosen).gpu:
        glog.line(glog.WARNING, SOURCE, f"-gpu {gpu}: left out, since CAFX_ENGINE is {chosen}")
        return []
    if gpu != numbers[0]:
        glog.line(glog.WARNING, SOURCE, f"-gpu {gpu}: one GPU per process; using GPU {numbers[0]}")
    return ["--gpu", numbers[0]]


def given(**options: Any) -> list[str]:
    """Options that have a value, as words of a command line.

    Example:
        >>> given(weights="a,b", level=0, check_size=True, stage="")
        ['--weights', 'a,b', '--check-size']
    """
    words: list[str] = []
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            words.append(option)
        elif value not in (None, False, "", 0, ()):
            words += [option, str(value)]
    return words


def words(values: Sequence[str | None]) -> list[str]:
    """The values that are not None."""
    return [value for value in values if value is not None]
