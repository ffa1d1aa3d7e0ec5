"""``cafx plugins``: listing and describing installed plugins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.completing import any_plugin
from cafx.cli.options import json_option
from cafx.cli.terminal import console, is_narrow

if TYPE_CHECKING:
    from rich.table import Table

WIDE = ("kind", "name", "distribution", "version", "", "description")
NARROW = ("kind", "name", "description")


timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Import each plugin in another process first, and report those whose import takes longer.",
)


@click.group(invoke_without_command=True)
@timeout_option
@click.pass_context
def plugins(context: click.Context, timeout: float | None) -> None:
    """List and describe installed plugins.

    If commands hang, a plugin may hang when it is imported: 'cafx plugins --timeout 10' finds it.

    \b
    Examples:
    cafx plugins
    cafx plugins show Convolution
    """
    if context.invoked_subcommand is None:
        context.invoke(list_plugins, timeout=timeout)


@plugins.command("list")
@click.option("--kind", help="Only this kind: layer, solver, policy, filler, engine, …")
@click.option("--broken", is_flag=True, help="Only plugins that fail to load.")
@timeout_option
@json_option
def list_plugins(
    kind: str | None = None, broken: bool = False, timeout: float | None = None, as_json: bool = False
) -> None:
    """List installed plugins, their packages and any problems.

    \b
    Examples:
    cafx plugins list --kind solver
    cafx plugins list --broken
    """
    from cafx.cli.inventory import inventory
    from cafx.cli.unfinished import inventory_within

    found = inventory_within(timeout, kind) if timeout else inventory(kind)
    rows = [row for row in found if row["error"] or not broken]
    if as_json:
        click.echo(json.dumps(rows))
        return
    console().print(_table(rows), markup=False)
    failures = sum(1 for row in rows if row["error"])
    click.echo(f"{len(rows)} plugins" + (f", {failures} broken" if failures else ""))


def _table(rows: list[dict[str, Any]]) -> Table:
    """One row per plugin; in a narrow table the distribution is below the description."""
    from rich.table import Table

    table, narrow = Table(), is_narrow()
    for name in NARROW if narrow else WIDE:
        table.add_column(name, overflow="fold", no_wrap=narrow and name != "description")
    for row in rows:
        text, state = row["error"] or row["summary"], "broken" if row["error"] else "ok"
        if narrow:
            table.add_row(row["kind"], row["name"], f"{text}\n{row['distribution']} {row['version']}, {state}")
        else:
            table.add_row(row["kind"], row["name"], row["distribution"], row["version"], state, text)
    return table


@plugins.command()
@click.argument("name", shell_complete=any_plugin)
@json_option
def show(name: str, as_json: bool) -> None:
    """Describe one plugin.

    Prints its documentation and options and, for a layer, properties, an example and the source.

    \b
    Example:
    cafx plugins show Convolution
    """
    from cafx.cli.inventory import find
    from cafx.cli.pages import page

    description = find(name)
    if as_json:
        click.echo(json.dumps(description))
        return
    if not console().is_terminal:
        click.echo(page(description))
        return
    from rich.markdown import Markdown

    console().print(Markdown(page(description)))


@plugins.command()
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Output folder.")
def catalogue(out: str) -> None:
    """Write a Markdown page per layer, and an index.

    \b
    Example:
    cafx plugins catalogue --out layers/
    """
    from cafx.cli.pages import write_catalogue

    written = write_catalogue(out)
    click.echo(f"{len(written)} pages written to {out}")
