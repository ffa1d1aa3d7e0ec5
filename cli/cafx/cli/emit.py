"""``cafx emit``."""

from __future__ import annotations

from pathlib import Path

import click

from cafx.cli.options import FILE, data_option


@click.command()
@click.argument("file", type=FILE, metavar="NET.py")
@click.option("--net", "what", flag_value="net", help="The net only.")
@click.option("--solver", "what", flag_value="solver", help="The solver only.")
@click.option("--out", "-o", type=FILE, metavar="FILE", help="Write a file instead of printing.")
@data_option
def emit(file: str, what: str | None, out: str | None) -> None:
    """Print the net or the solver that NET.py defines, as prototxt.

    A solver comes with its net inside it (net_param), so that one file trains.
    """
    from cafx.cli.emitting import text_of
    from cafx.kernel.net import atomic_write

    text = text_of(file, what)
    if out is None:
        click.echo(text, nl=False)
        return
    with atomic_write(Path(out)) as written:
        written.write(text.encode())
