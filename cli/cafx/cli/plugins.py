"""``cafx plugins``."""

from __future__ import annotations

import json
from typing import Any

import click

from cafx.cli.options import console, json_option, narrow


@click.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List and describe the installed plugins."""
    if context.invoked_subcommand is None:
        context.invoke(list_plugins)


@plugins.command("list")
@click.option("--kind", help="One kind only: layer, solver, policy, filler, engine, ...")
@click.option("--broken", is_flag=True, help="Those that cannot be used only.")
@json_option
def list_plugins(kind: str | None = None, broken: bool = False, as_json: bool = False) -> None:
    """List every plugin with its distribution, and what is wrong with it."""
    from cafx.cli.inventory import inventory

    rows = [row for row in inventory(kind) if row["error"] or not broken]
    if as_json:
        click.echo(json.dumps(rows))
        return
    from rich.table import Table

    table, folded = Table(), narrow()
    for name in (
        ("kind", "name", "what it is") if folded else ("kind", "name", "distribution", "version", "", "what it is")
    ):
        table.add_column(name, overflow="fold", no_wrap=folded and name != "what it is")
    for row in rows:
        said, state = row["error"] or row["summary"], "broken" if row["error"] else "ok"
        if folded:
            table.add_row(row["kind"], row["name"], f"{said}\n{row['distribution']} {row['version']}, {state}")
        else:
            table.add_row(row["kind"], row["name"], row["distribution"], row["version"], state, said)
    console().print(table, markup=False)
    bad = sum(1 for row in rows if row["error"])
    click.echo(f"{len(rows)} plugins" + (f", {bad} of them broken" if bad else ""))


@plugins.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Describe plugin NAME: formula, shapes, options, facts, an example, and the source."""
    from cafx.cli.inventory import find
    from cafx.cli.pages import page

    described = find(name)
    if as_json:
        click.echo(json.dumps(described))
        return
    if not console().is_terminal:
        click.echo(page(described))
        return
    from rich.markdown import Markdown

    console().print(Markdown(page(described)))


@plugins.command()
@click.option("--out", required=True, type=click.Path(file_okay=False), help="The folder to write.")
def catalogue(out: str) -> None:
    """Write a Markdown page for each layer, and an index by kind, for mkdocs."""
    from cafx.cli.pages import write_catalogue

    written: list[Any] = write_catalogue(out)
    click.echo(f"{len(written)} pages in {out}")
