"""``cafx check``."""

from __future__ import annotations

import click

from cafx.cli.options import console, json_option, narrow

STYLES = {"pass": "green", "fail": "bold red", "known failure": "yellow", "not applicable": "dim"}


@click.command()
@click.argument("target", metavar="DIST_OR_PATH")
@json_option
def check(target: str, as_json: bool) -> int:
    """Run the conformance suite on one plugin: an installed distribution, or a folder.

    Prints the checklist as a table; the exit code is 1 where a check fails.
    """
    from cafx.cli.options import ignore_overflow
    from cafx.kernel.errors import CafxError

    try:
        from cafx.conformance.report import check as run_checks
    except ImportError as error:
        raise CafxError(
            f"the conformance suite cannot be imported ({error})", remedy="pip install cafx-conformance"
        ) from error
    ignore_overflow()
    report = run_checks(target)
    if as_json:
        click.echo(report.to_json())
        return 0 if report.ok else 1
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{target}: {'conforms' if report.ok else 'does not conform'}")
    several = len({row.plugin for row in report.rows}) > 1
    details = any(row.detail for row in report.rows) and not narrow()
    for name in ("plugin",) * several + ("check", "what it holds", "outcome") + ("detail",) * details:
        table.add_column(name, overflow="fold", no_wrap=name in ("check", "outcome"))
    for row in report.rows:
        held = row.title if details or not row.detail else f"{row.title}\n{row.detail}"
        cells = [Text(row.plugin)] * several + [Text(row.check_id), Text(held)]
        cells += [Text(row.outcome, STYLES.get(row.outcome, "")), *[Text(row.detail)] * details]
        table.add_row(*cells)
    console().print(table)
    return 0 if report.ok else 1
