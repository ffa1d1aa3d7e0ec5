"""Options as Caffe's tools spell them: one dash or two, underscores, ``--gray=true``, ``--noshuffle``.

The rules, for every command:

- An option's name may have one dash or two, and underscores for dashes: ``-sighup_effect`` is ``--sighup-effect``.
- A value follows after ``=`` or as the next word. After a switch, ``=true`` and ``=false`` may be given;
  ``--noNAME`` is ``--NAME=false``.
- A single dash and a single letter is a short option (``-q``, ``-w FILE``, ``-n 5``, ``-n5``). More letters are
  the name of one option, or several switches (``-qh``), never a short option with its value:
  ``-snapshot=x`` is not ``-s napshot=x``, on no command.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

import attrs
import click

from cafx.cli.defaulting import DefaultGroup
from cafx.cli.meanings import meaning

TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
OPTION = re.compile(r"--?[A-Za-z?]")
WORD = re.compile(r"-[A-Za-z]{2}")


class SpelledCommand(click.Command):
    """A command with these rules that is a program of its own; those of ``cafx`` follow them anyway."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As in click, after respelling."""
        return super().parse_args(ctx, respelled(self, args, ctx))


@attrs.frozen
class _Piece:
    """Words of a command line that belong together.

    Attributes:
        words: an option and its value, or an argument.
        option: the option; None for an argument.
    """

    words: list[str]
    option: click.Option | None = None


def respelled(command: click.Command, words: Sequence[str], context: click.Context) -> list[str]:
    """The words of a command line as click reads them.

    Args:
        command: the command that they are for; for a group, subcommands are respelled too.
        words: what follows its name.
        context: of the command or of the group it is in, for errors.

    Raises:
        click.UsageError: an option is unknown, or a switch has a value other than true or false.

    Example:
        >>> gray = click.Option(["--gray"], is_flag=True)
        >>> train = click.Command("train", params=[click.Option(["--snapshot"]), click.Option(["--stage", "-s"]), gray])
        >>> respelled(train, ["-snapshot=x", "--gray=true", "a.py"], click.Context(train))
        ['--snapshot', 'x', '--gray', 'a.py']
        >>> respelled(train, ["-s", "deploy", "-gray", "--nogray"], click.Context(train))
        ['-s', 'deploy']
    """
    speller = _Speller(command, context)
    pieces: list[_Piece] = []
    rest = command.completed(words) if isinstance(command, DefaultGroup) else list(words)
    while rest:
        if rest[0] == "--":
            return _joined(pieces) + rest
        if not OPTION.match(rest[0]):
            pieces.append(_Piece([rest.pop(0)]))
            if isinstance(command, click.Group):
                return _joined(pieces) + _of_subcommand(command, pieces[-1].words[0], rest, context)
            if not command.context_settings.get("allow_interspersed_args", True):
                return _joined(pieces) + rest  # the command line of another program
            continue
        piece, off = speller.take(rest)
        if off:
            pieces = [each for each in pieces if each.option is not off]
        pieces.append(piece)
    return _joined(pieces)


def _joined(pieces: list[_Piece]) -> list[str]:
    return [word for piece in pieces for word in piece.words]


def _of_subcommand(group: click.Group, name: str, words: list[str], context: click.Context) -> list[str]:
    subcommand = group.commands.get(name)
    return respelled(subcommand, words, context) if subcommand else words


class _Speller:
    """Reads the options of one command."""

    def __init__(self, command: click.Command, context: click.Context) -> None:
        self.command = command
        self.context = context
        if command is not context.command:
            self.context = click.Context(command, context, command.name, resilient_parsing=context.resilient_parsing)
        self.names: dict[str, click.Option] = {}
        """Options by each name, with its dashes."""
        for option in command.get_params(self.context):
            if isinstance(option, click.Option):
                self.names.update(dict.fromkeys([*option.opts, *option.secondary_opts], option))

    def take(self, rest: list[str]) -> tuple[_Piece, click.Option | None]:
        """Take an option and its value from the front of ``rest``; also the switch that it turns off, if any."""
        written = rest.pop(0)
        name, equals, value = written.partition("=")
        found = self._canonical(name)
        if found:
            return self._with_value(found, value if equals else None, rest)
        switch = self._switch_off(name)
        if switch:
            return _Piece(_off(switch), switch), switch
        if self.context.resilient_parsing:
            return _Piece([written]), None
        if name.startswith("--") or (WORD.match(name) and not self._are_switches(name)):
            raise self._refusal(written)
        return self._short(written), None

    def _canonical(self, name: str) -> str | None:
        """The option's name as it is declared."""
        candidates = (name, "--" + name.lstrip("-").replace("_", "-"), "--" + name.lstrip("-"))
        return next((each for each in candidates if each in self.names), None)

    def _switch_off(self, name: str) -> click.Option | None:
        """The switch that ``--noNAME`` or ``--no-NAME`` turns off."""
        plain = name.lstrip("-").replace("_", "-")
        option = self.names.get("--" + plain.removeprefix("no").removeprefix("-")) if plain.startswith("no") else None
        return option if option and option.is_flag else None

    def _with_value(self, name: str, value: str | None, rest: list[str]) -> tuple[_Piece, click.Option | None]:
        option = self.names[name]
        if not (option.is_flag or option.count):
            values = rest[: option.nargs] if value is None else [value]
            if value is None:
                del rest[: option.nargs]
            return _Piece([name, *values], option), None
        on = value is None or self._truth(name, value)
        if on == (name in option.opts):
            return _Piece([name if on else option.opts[0]], option), None
        return _Piece(_off(option), option), option

    def _truth(self, name: str, value: str) -> bool:
        if value.lower() not in TRUE + FALSE:
            raise click.UsageError(f"{name}={value}: {name} is a switch; write {name}, or {name}=false.", self.context)
        return value.lower() in TRUE

    def _are_switches(self, name: str) -> bool:
        """Whether ``-qh`` is made of one-letter switches."""
        options = [self.names.get(f"-{letter}") for letter in name[1:]]
        return all(option is not None and option.is_flag for option in options)

    def _short(self, written: str) -> _Piece:
        """A short option with its value attached, as ``-n5`` and ``-w=FILE``, or several switches."""
        option = self.names.get(written[:2])
        if option is None:
            raise self._refusal(written)
        if option.is_flag:
            return _Piece([written], option)
        return _Piece([written[:2], written[2:].removeprefix("=")], option)

    def _refusal(self, written: str) -> click.UsageError:
        """The error for an unknown option."""
        name = written.partition("=")[0]
        hint = meaning(self.command, name) or _nearest(name, self.names) or self._detached(written)
        return click.UsageError(f"No such option: {name}. {hint}".rstrip(), self.context)

    def _detached(self, written: str) -> str:
        """How to write a short option whose value was attached."""
        option = self.names.get(written[:2])
        if "=" in written or option is None or option.is_flag:
            return ""
        return f"If {written[2:]!r} is the value of {written[:2]}: {written[:2]} {written[2:]}"


def _off(option: click.Option) -> list[str]:
    """The words that turn a switch off; none if it is off by itself."""
    return list(option.secondary_opts[:1])


def _nearest(name: str, known: Iterable[str]) -> str:
    """The option that differs from ``name`` by a letter or two."""
    long_names = [each for each in known if each.startswith("--")]
    close = difflib.get_close_matches("--" + name.lstrip("-").replace("_", "-"), long_names, n=2, cutoff=0.75)
    return f"Did you mean {' or '.join(close)}?" if close else ""
