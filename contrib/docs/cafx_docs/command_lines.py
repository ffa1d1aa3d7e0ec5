"""The command lines in the pages: each command that is shown is there, and so are its options.

Checked are, in ``console`` blocks, the lines that begin with ``$ cafx`` or with one of Caffe's programs, and
`` `cafx …` `` in the text.
"""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

FENCE = re.compile(r"^(`{3,}|:{3,})(\S*).*?\n(.*?)^\1 *$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(cafx [a-z][^`]*)`(?!`)")
PROMPT = "$ "
SEPARATORS = ("|", "&&", ";", ">", ">>", "2>&1", "&")


def wrong_commands(page: Path) -> list[str]:
    """The command lines of a page that name a command or an option that is not there, each with the reason."""
    failures = []
    for number, line in _lines(page.read_text("utf-8")):
        try:
            _check(line)
        except (click.UsageError, LookupError, ValueError) as error:
            reason = error.format_message() if isinstance(error, click.UsageError) else error
            failures.append(f"{page}:{number}: {line}: {reason}")
    return failures


def _lines(page: str) -> Iterator[tuple[int, str]]:
    """The command lines of console blocks and those in the text, with the number of their line or block."""
    for block in FENCE.finditer(page):
        if block[2] == "console":
            number = page.count("\n", 0, block.start(3)) + 1
            yield from ((number, line) for line in command_lines(block[3]))
    text = FENCE.sub(lambda match: "\n" * match[0].count("\n"), page)
    for match in INLINE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, " ".join(match[1].split())


def command_lines(text: str) -> list[str]:
    """The command lines of a console block, continuation lines joined.

    Example:
        >>> command_lines("$ cafx net \\\\\\n    net.py\\noutput\\n")
        ['cafx net net.py']
    """
    joined = re.sub(r"\\\n *", "", text)
    return [line.removeprefix(PROMPT) for line in joined.splitlines() if line.startswith(PROMPT)]


def _check(line: str) -> None:
    words = shlex.split(line, comments=True)
    commands: list[list[str]] = [[]]
    for word in words:
        if word in SEPARATORS:
            commands.append([])
        else:
            commands[-1].append(word)
    for command in commands:
        while command and re.match(r"[A-Z_]+=", command[0]):
            command.pop(0)
        if command:
            _check_one(command)


def _check_one(words: list[str]) -> None:
    from caffe.commands.entry import MODULES, SUFFIXES

    from cafx.cli.group import cafx

    program = Path(words[0]).name
    if program == "cafx":
        _resolve(cafx, words[1:], click.Context(cafx, info_name="cafx"))
        return
    for suffix in SUFFIXES:
        program = program.removesuffix(suffix)
    module = next((module for module, names in MODULES.items() if program in names), None)
    if module:
        command = getattr(importlib.import_module(f"caffe.commands.{module}"), program)
        _resolve(command, words[1:], click.Context(command, info_name=program))


def _resolve(command: click.Command, words: list[str], context: click.Context) -> None:
    from cafx.cli.defaulting import DefaultGroup
    from cafx.cli.spelling import respelled

    words = command.completed(words) if isinstance(command, DefaultGroup) else words
    if isinstance(command, click.Group):
        names = [word for word in words if not word.startswith("-")]
        own = [word for word in words if word.startswith("-")] if not names else words[: words.index(names[0])]
        known = {name for option in command.get_params(context) for name in option.opts}
        if wrong := [word for word in own if word.partition("=")[0] not in known and names]:
            raise LookupError(f"no option {wrong[0]}")
        if names and not names[0].isupper():
            found = command.get_command(context, names[0])
            if found is None:
                raise LookupError(f"no command '{names[0]}'")
            rest = words[words.index(names[0]) + 1 :]
            _resolve(found, rest, click.Context(found, context, found.name))
        return
    respelled(command, words, context)
