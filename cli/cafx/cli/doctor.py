"""``cafx doctor``: whether the installation and this machine are in order."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import attrs
import click

from cafx.cli.options import json_option, quiet_option

if TYPE_CHECKING:
    from cafx.cli.diagnosis import Finding

STYLES: dict[str, dict[str, Any]] = {
    "ok": {"fg": "green"},
    "note": {"dim": True},
    "warning": {"fg": "yellow"},
    "problem": {"fg": "red", "bold": True},
}
STATE_WIDTH, SUBJECT_WIDTH = 7, 15


@click.command()
@quiet_option
@json_option
def doctor(quiet: bool, as_json: bool) -> int:
    """Check the installation, and this machine.

    Shows versions, engines and GPUs, threads, settings, memory, disks, plugins that fail, and names that several
    packages claim. The exit code is 1 if there is a problem; warnings are about speed and room. With --quiet, only
    warnings and problems are shown.

    \b
    Examples:
    cafx doctor
    cafx doctor --json
    """
    from cafx.cli.diagnosis import OK, PROBLEM, examine

    findings = examine()
    problems = sum(finding.state == PROBLEM for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": not problems, "findings": [attrs.asdict(finding) for finding in findings]}))
        return 1 if problems else 0
    for finding in findings:
        if not (quiet and finding.state in (OK, "note")):
            click.echo(_line(finding))
    if problems:
        click.echo(f"{problems} problem{'s' * (problems != 1)}")
    elif not quiet:
        click.echo("no problems")
    return 1 if problems else 0


def _line(finding: Finding) -> str:
    from cafx.cli.colours import styled
    from cafx.cli.streams import printable

    state = styled(f"{finding.state:{STATE_WIDTH}}", STYLES[finding.state], sys.stdout)
    text = f"{finding.text}; {finding.remedy}" if finding.remedy else finding.text
    return f"{state}  {finding.subject:{SUBJECT_WIDTH}}  {printable(' '.join(text.split()))}"
