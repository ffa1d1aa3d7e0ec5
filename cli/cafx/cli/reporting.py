"""What the command line tells about an error, on standard error: a line of text, or with ``--json`` a JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from cafx.cli.colours import ERROR, FAINT, styled
from cafx.cli.errors import line_of, value_text

JSON_OPTION = ("json", "json=true")


def asks_for_json(words: Sequence[str]) -> bool:
    """Whether a command line has ``--json``, however it is spelt.

    Example:
        >>> asks_for_json(["net", "net.prototxt", "--json"]), asks_for_json(["weights", "--", "--json"])
        (True, False)
    """
    options = words[: words.index("--")] if "--" in words else words
    return any(word.startswith("-") and word.lstrip("-").lower() in JSON_OPTION for word in options)


def report(error: Exception, code: int, *, as_json: bool) -> None:
    """Print an error on standard error.

    Args:
        error: the error; with its id, if there is a page about it that ``cafx explain`` shows.
        code: the exit code.
        as_json: as ``{"error": {"message": …, "code": …}}``, with ``id``, ``where``, ``what``, ``found``, ``expected``
            and ``remedy`` where they are known.
    """
    if as_json:
        click.echo(json.dumps({"error": record_of(error, code)}), err=True)
    elif isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    elif isinstance(error, click.ClickException):
        click.echo(_usage_of(error) + _text(error.format_message(), identify(error)), err=True, color=True)
    else:
        click.echo(_text(line_of(error), identify(error)), err=True, color=True)


def record_of(error: Exception, code: int) -> dict[str, Any]:
    """An error as plain values; those that are not known are left out."""
    from cafx.kernel.errors import CafxError

    record: dict[str, Any] = {"message": message_of(error), "code": code, "id": identify(error)}
    if isinstance(error, CafxError):
        record["what"] = error.message
        record |= {name: value_text(getattr(error, name)) for name in ("where", "found", "expected", "remedy")}
    return {name: value for name, value in record.items() if value is not None}


def message_of(error: Exception) -> str:
    """The message of an error, of a wrong command line too."""
    return error.format_message() if isinstance(error, click.ClickException) else line_of(error)


def identify(error: Exception) -> str | None:
    """The id of the page about an error, or None."""
    from cafx.cli.explanations import identify

    return identify(error)


def _text(message: str, name: str | None) -> str:
    text = f"{styled('error:', ERROR, sys.stderr)} {message}"
    return f"{text} {styled(f'[{name}]', FAINT, sys.stderr)}" if name else text


def _usage_of(error: click.ClickException) -> str:
    """How the command is used, and where its help is."""
    context = getattr(error, "ctx", None)
    if context is None:
        return ""
    help_option = max(context.help_option_names, key=len, default="--help")
    usage = click.unstyle(context.get_usage())
    return f"{usage}\nTry '{context.command_path} {help_option}' for help.\n\n"
