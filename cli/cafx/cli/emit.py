"""``cafx emit``: the prototxt of a net.py."""

from __future__ import annotations

from pathlib import Path

import click

from cafx.cli.options import FILE, data_option


@click.command()
@click.argument("file", type=FILE, metavar="NET.py")
@click.option("--net", "part", flag_value="net", help="Print only the net.")
@click.option("--solver", "part", flag_value="solver", help="Print only the solver.")
@click.option("--out", "-o", type=FILE, metavar="FILE", help="Write to a file instead of standard output.")
@data_option
def emit(file: str, part: str | None, out: str | None) -> None:
    """Print the net or solver defined in NET.py as prototxt.

    The net is embedded in the solver (net_param), so the one file can be trained.

    \b
    Examples:
    cafx emit net.py --out solver.prototxt
    cafx emit net.py --net
    """
    from cafx.cli.prototxt import prototxt_of
    from cafx.kernel.files import atomic_write

    text = prototxt_of(file, part)
    if out is None:
        click.echo(text, nl=False)
        return
    with atomic_write(Path(out)) as target:
        target.write(text.encode())
