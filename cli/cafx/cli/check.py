"""``cafx check``: the conformance suite on one plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cafx.cli.completing import distributions
from cafx.cli.options import json_option
from cafx.cli.terminal import console, is_narrow

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {"pass": "green", "fail": "bold red", "known failure": "yellow", "not applicable": "dim"}  # nosec B105  # colours


@click.command()
@click.argument("target", metavar="DIST_OR_PATH", shell_complete=distributions)
@json_option
def check(target: str, as_json: bool) -> int:
    """Run the conformance suite on one plugin: an installed distribution or a folder.

    Prints the checklist as a table. The exit code is 1 if a check fails.

    \b
    Examples:
      cafx check cafx-layer-relu
      cafx check ./cafx-layer-softclip --json
    """
    from cafx.cli.diagnostics import silence_overflow
    from cafx.kernel.errors import CafxError

    try:
        from cafx.conformance.report import check as run_checks
    except ImportError as error:
        from cafx.cli.installing import suite_command

        message = f"the conformance suite cannot be imported ({error})"
        raise CafxError(message, remedy=f"install it with: {suite_command()}") from error
    silence_overflow()
    report = run_checks(target)
    if as_json:
        click.echo(report.to_json())
    else:
        console().print(_table(target, report))
    return 0 if report.ok else 1


def _table(target: str, report: Any) -> Table:
    """One row per check; the plugin's column is omitted if there is one only, details if the console is narrow."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{target}: {'conforms' if report.ok else 'does not conform'}")
    several = len({row.plugin for row in report.rows}) > 1
    details = any(row.detail for row in report.rows) and not is_narrow()
    for name in ("plugin",) * several + ("check", "requirement", "outcome") + ("detail",) * details:
        table.add_column(name, overflow="fold", no_wrap=name in ("check", "outcome"))
    for row in report.rows:
        requirement = row.title if details or not row.detail else f"{row.title}\n{row.detail}"
        cells = [Text(row.plugin)] * several + [Text(row.check_id), Text(requirement)]
        cells += [Text(row.outcome, STYLES.get(row.outcome, "")), *[Text(row.detail)] * details]
        table.add_row(*cells)
    return table
