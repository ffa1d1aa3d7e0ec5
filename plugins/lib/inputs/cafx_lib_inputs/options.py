"""Options of commands that run deploy nets on images: preprocessing and labels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cafx_lib_preprocessing import Preprocessing

Command = Callable[..., Any]
MOST_DIGITS = 8
RECORD_HELP = "How images become the input: a .json record, a train_val prototxt, or a model's folder or readme.md."
MEAN_HELP = "Mean to subtract: a .binaryproto or .npy file, or values as 104,117,123 (BGR)."
RESIZE_HELP = "How images are resized: 'antialias' as pycaffe, 'bilinear' as Caffe's data layers."


def preprocessing_options(resize: str) -> Callable[[Command], Command]:
    """Add ``--preprocessing``, ``--mean``, ``--scale``, ``--resize`` and ``--labels``; the last four override.

    They are passed on as one function named ``preprocessing``: it takes further attributes, and as ``model`` a folder
    that has a record if the options name none, and returns the `Preprocessing`.

    Args:
        resize: how images are resized if nothing says so.

    Example:
        >>> @click.command()
        ... @preprocessing_options("antialias")
        ... def show(preprocessing):
        ...     click.echo(preprocessing(size=(8, 8)).describe())
        >>> from click.testing import CliRunner
        >>> CliRunner().invoke(show, ["--mean", "1,2,3"]).output
        "resized to 8×8 (antialias), cropped to the net's input, BGR from 0 to 255, minus 1, 2, 3\\n"
    """

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def with_record(
            *arguments: Any,
            record: str | None,
            mean: str | None,
            scale: float | None,
            resize_mode: str | None,
            labels: str | None,
            **options: Any,
        ) -> Any:
            given = {"mean": mean, "scale": scale, "resize": resize_mode, "labels": labels}
            read = functools.partial(_read, record, resize, given)
            return command(*arguments, preprocessing=read, **options)

        for option in (
            click.option(
                "--labels", type=click.Path(dir_okay=False), metavar="FILE", help="Names of the classes, one per line."
            ),
            click.option(
                "--resize",
                "resize_mode",
                type=click.Choice(["antialias", "bilinear"]),
                help=f"{RESIZE_HELP} [default: {resize}]",
            ),
            click.option("--scale", type=float, metavar="F", help="Factor after the mean.  [default: 1.0]"),
            click.option("--mean", metavar="M", help=MEAN_HELP),
            click.option("--preprocessing", "record", type=click.Path(), metavar="FILE", help=RECORD_HELP),
        ):
            with_record = option(with_record)
        return with_record

    return add


def _read(
    record: str | None, resize: str, given: dict[str, Any], model: str | None = None, **more: Any
) -> Preprocessing:
    from cafx_lib_preprocessing import Preprocessing, read_preprocessing

    source = record or model
    known = read_preprocessing(source) if source else Preprocessing(resize=resize)
    return known.changed(**given, **more)


def tell(preprocessing: Preprocessing, quiet: bool = False) -> None:
    """Print how images become the input, as a notice: a mismatch is the most frequent cause of wrong answers."""
    if not quiet:
        click.echo(f"preprocessing: {preprocessing.describe()}", err=True)


def size_of(text: str | None) -> tuple[int, int] | None:
    """The value of an option ``--size HxW``: height and width; None for none.

    Example:
        >>> size_of("256x320"), size_of("28")
        ((256, 320), (28, 28))
    """
    if not text:
        return None
    height, _, width = text.lower().replace(",", "x").partition("x")
    sides = (height, width or height)
    if not all(side.isascii() and side.isdigit() and len(side) < MOST_DIGITS and int(side) for side in sides):
        raise click.BadParameter(f"{text!r} is not a size; try --size 256x256", param_hint="--size")
    return int(height), int(width or height)
