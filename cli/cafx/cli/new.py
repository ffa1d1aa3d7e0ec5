"""``cafx new``: creating a plugin from a template."""

from __future__ import annotations

import click


@click.group()
def new() -> None:
    """Create a plugin from a template."""


@new.command()
@click.argument("name")
@click.option(
    "--into", default=".", show_default=True, type=click.Path(file_okay=False, exists=True), help="Parent folder."
)
def layer(name: str, into: str) -> None:
    """Create the layer package cafx-layer-NAME.

    It is a working layer package that already passes `cafx check`. It computes y = sin(frequency · x);
    replace the formula with your own.
    """
    from cafx.cli.templates import write_layer

    created = write_layer(name, into)
    click.echo(f"{created.folder}/")
    for path in created.files:
        click.echo(f"  {path}")
    click.echo(
        f"Next:\n  pip install -e {created.folder}\n  cafx check {created.distribution}\n"
        f"Then edit {created.module}.py. In a net: L.{created.type}(...)."
    )
