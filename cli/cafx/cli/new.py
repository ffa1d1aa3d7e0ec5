"""``cafx new``."""

from __future__ import annotations

import click


@click.group()
def new() -> None:
    """Write the beginnings of a plugin."""


@new.command()
@click.argument("name")
@click.option(
    "--into", default=".", show_default=True, type=click.Path(file_okay=False, exists=True),
    help="The folder to write it in.",
)  # fmt: skip
def layer(name: str, into: str) -> None:
    """Write cafx-layer-NAME: a complete layer that installs and conforms as it is.

    It computes y = sin(frequency · x); put your own formula in its place.
    """
    from cafx.cli.templates import write_layer

    written = write_layer(name, into)
    click.echo(f"{written.folder}/")
    for path in written.files:
        click.echo(f"  {path}")
    click.echo(
        f"Next:\n  pip install -e {written.folder}\n  cafx check {written.distribution}\n"
        f"Then edit {written.module}.py; a net uses it as L.{written.type}(...)."
    )
