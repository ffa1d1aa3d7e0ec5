"""``cafx onnx coverage``: which layers can be exported and imported."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cafx.cli.options import FILE, json_option

BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"
HEAD = ["| layer | exported as | imported from |", "|---|---|---|"]
NOTHING = "–"
NO_CONVERTER = "– (an error that names the layer, or `--allow-custom`)"


@click.command()
@click.option(
    "--into", type=FILE, metavar="FILE.md", help=f"Replace the table between the lines '{BEGIN}' and '{END}'."
)
@json_option
def coverage(into: str | None, as_json: bool) -> None:
    """Print, for each installed layer type, how it is exported to ONNX and from which operators it is imported.

    \b
    Example:
    cafx onnx coverage --into contrib/docs/pages/onnx.md
    """
    rows = list(coverage_rows())
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = "\n".join(HEAD + [f"| {row['layer']} | {row['export']} | {row['import']} |" for row in rows])
    if into is None:
        click.echo(table)
        return
    _write(Path(into), table)
    click.echo(into)


def coverage_rows() -> Iterator[dict[str, str]]:
    """The rows of the table: layer, how it is exported, and the operators it is imported from."""
    from cafx.kernel import registry
    from cafx_lib_onnx import converter_of

    for name in registry().names("layer"):
        converter = converter_of(name, registry())
        yield {
            "layer": name,
            "export": NO_CONVERTER if converter is None else _export(converter),
            "import": ", ".join(getattr(converter, "operators", ())) or NOTHING,
        }


def _export(converter: Any) -> str:
    """The first sentence of a converter's docstring."""
    return " ".join(inspect.cleandoc(converter.__doc__ or "").split("\n\n")[0].split()).rstrip(".").replace("``", "`")


def _write(path: Path, table: str) -> None:
    from cafx.kernel import CafxError
    from cafx.kernel.files import atomic_write, read_file

    text = read_file(path).decode("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise CafxError("has no place for the table", where=str(path), expected=f"the lines '{BEGIN}' and '{END}'")
    with atomic_write(path) as file:
        file.write(f"{before}{BEGIN}\n{table}\n{END}{after}".encode())
