"""Pages of commands, from click: usage, what it does, options, examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from cafx.cli.group import cafx


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command of ``cafx``, with its name and its context."""
    root = click.Context(cafx, info_name="cafx")
    for name in cafx.list_commands(root):
        command = cafx.get_command(root, name)
        if command is not None:
            yield name, command, click.Context(command, info_name=name, parent=root)


def command_page(command: click.Command, context: click.Context) -> str:
    """The Markdown page of a command and its subcommands.

    Args:
        command: the command.
        context: its context, which knows the name it is called by.
    """
    return "\n\n".join(_sections(command, context, 1)) + "\n"


def _sections(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}"
    yield f"```console\n$ {usage(command, context)}\n```"
    yield from help_paragraphs(command.help or "")
    table = options_table(command, context)
    if table:
        yield table
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            if sub is not None and not sub.hidden:
                yield from _sections(sub, click.Context(sub, info_name=name, parent=context), level + 1)


def usage(command: click.Command, context: click.Context) -> str:
    """The line that shows how a command is called."""
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def help_paragraphs(text: str) -> Iterator[str]:
    """A command's help as Markdown; what is not to be wrapped, such as an example, becomes a block.

    >>> list(help_paragraphs("Twice\\nx.\\n\\n\\b\\nExample:\\ncafx double x"))
    ['Twice\\nx.', 'Example:', '```console\\n$ cafx double x\\n```']
    """
    for paragraph in inspect.cleandoc(text).partition("\f")[0].split("\n\n"):
        if not paragraph.startswith("\b\n"):
            yield _prose(paragraph)
            continue
        lines = paragraph.removeprefix("\b\n").splitlines()
        if lines[0].endswith(":") and len(lines) > 1:
            yield lines.pop(0)
        prompts = [f"$ {line}" if line.startswith("cafx ") else line for line in lines]
        yield "```console\n" + "\n".join(prompts) + "\n```"


def _prose(text: str) -> str:
    """A paragraph of help; what Markdown would take for markup is escaped, except code."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<{\[$])", r"\\\1", part) for part in parts)


def options_table(command: click.Command, context: click.Context) -> str:
    """The options of a command as a table; empty if it has none."""
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [f"| `{names}` | {_cell(text)} |" for names, text in filter(None, records) if text]
    return "\n".join(["| option | description |", "| --- | --- |", *rows]) if rows else ""


def _cell(text: str) -> str:
    return _prose(" ".join(text.split())).replace("|", "\\|")
