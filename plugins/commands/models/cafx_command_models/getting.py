"""``cafx models get`` and ``verify``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cafx.cli.options import json_option, quiet_option, trust_option
from cafx_command_models.places import limits, located, max_size_option, size_text

if TYPE_CHECKING:
    from cafx_lib_zoo.download import Report


@click.command()
@click.argument("source")
@click.option(
    "--to", metavar="DIR", type=click.Path(), help="Copy the model to this folder (default: keep it in the cache)."
)
@click.option("--sha256", metavar="HEX", help="Fail unless readme.md has this digest, which fixes all files.")
@click.option("--no-verify", is_flag=True, help="Also get files without a digest, such as those of Caffe's own zoo.")
@max_size_option
@quiet_option
@json_option
def get(
    source: str, to: str | None, sha256: str | None, no_verify: bool, max_size: int, quiet: bool, as_json: bool
) -> None:
    """Get the model at SOURCE and print its folder.

    SOURCE is https://HOST/FOLDER/, hf:ORG/NAME[@REVISION], gist:ID[@REVISION] or a folder. Every file is compared
    with the digest in the model's readme.md before it gets its name. An interrupted download continues where it
    ended.

    \b
    Example:
    cafx models get hf:org/squeezenet --to squeezenet
    """
    from cafx_lib_zoo import ModelFolder, Store, Wish, lacking, open_source
    from cafx_lib_zoo import get as get_model

    if sha256 is not None and not (len(sha256) == 64 and set(sha256.lower()) <= set("0123456789abcdef")):
        raise click.BadParameter("is not 64 hexadecimal digits", param_hint="--sha256")
    place = located(source, max_size)
    if isinstance(place, ModelFolder):
        place = open_source(f"file:{place.path}", limits(max_size))
    with _reporting(quiet or as_json) as report:
        wish = Wish(
            place,
            to=Path(to) if to else None,
            digest=sha256.lower() if sha256 else None,
            verify=not no_verify,
            report=report,
            notice=lambda text: click.echo(text, err=True),
        )
        try:
            model = get_model(wish, Store.default())
        except KeyboardInterrupt:
            click.echo("run the same command again to continue", err=True)
            raise
    needed = lacking(model.card.layers, str(model.path))
    if needed:
        click.echo(str(needed), err=True)
    if no_verify and not model.card.is_complete:
        click.echo("not verified: the card lacks digests", err=True)
    if as_json:
        summary = {"folder": str(model.path), "name": model.card.name, "bytes": model.card.size}
        click.echo(
            json.dumps(summary | {"verified": model.card.is_complete, "missing": str(needed) if needed else None})
        )
    else:
        click.echo(str(model.path))


@click.command()
@click.argument("model")
@trust_option
@quiet_option
@json_option
def verify(model: str, trust: bool, quiet: bool, as_json: bool) -> None:
    """Check that the files of MODEL are those of its card, and that its net can be built with its weights.

    MODEL is a folder or the name of a downloaded model.

    \b
    Example:
    cafx models verify squeezenet/
    """
    from cafx.kernel import CafxError
    from cafx.kernel.blob import shape_text
    from cafx_lib_zoo import ModelFolder
    from cafx_lib_zoo import verify as check

    folder = located(model)
    if not isinstance(folder, ModelFolder):
        raise CafxError("is not here", where=folder.title, remedy="get it first: cafx models get SOURCE --to DIR")
    found = check(folder, trust=trust)
    for notice in found.notices:
        click.echo(notice, err=True)
    if as_json:
        outputs = {name: list(shape) for name, shape in found.outputs.items()}
        numbers = {"files": found.files, "layers": found.layers, "values": found.values, "outputs": outputs}
        click.echo(json.dumps({"model": str(folder.path), **numbers, "notices": found.notices}))
    elif not quiet:
        outputs_text = ", ".join(f"{name} {shape_text(shape)}" for name, shape in found.outputs.items())
        click.echo(f"{folder.path}: {found.files} files as stated ({size_text(folder.card.size)})")
        click.echo(f"{folder.card.net}: {found.layers} layers, {found.values:,} values, outputs: {outputs_text}")


@contextlib.contextmanager
def _reporting(quiet: bool) -> Iterator[Report]:
    """Progress on standard error: a bar on a terminal, else a line per file."""
    import sys

    if quiet:
        yield lambda *_: None
        return
    if not sys.stderr.isatty():
        done: set[str] = set()

        def line(name: str, position: int, size: int | None) -> None:
            if position == size and name not in done:
                done.add(name)
                click.echo(f"{name}: {size_text(position)}", err=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    tasks = {}
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def bar(name: str, position: int, size: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=size)
            progress.update(tasks[name], completed=position, total=size)

        yield bar
