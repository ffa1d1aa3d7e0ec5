"""What a shell completes besides commands, options and files: plugins, and the fields of ``--set``.

Plugins are looked up by their entry points; none is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, ZshComplete, add_completion_class

GROUPS = {
    "layer": ("cafx.layers", "cafx.losses", "cafx.data"),
    "engine": ("cafx.engines",),
    "monitor": ("cafx.monitors",),
    "dialect": ("cafx.dialects",),
    "communicator": ("cafx.communicators",),
    "solver": ("cafx.solvers",),
    "policy": ("cafx.policies",),
}
"""Entry-point groups of the kinds of plugins that options name."""
PLUGIN_FIELDS = {"type": "solver", "lr_policy": "policy"}
"""Fields of a solver that name plugins."""
BOOLEANS = ("true", "false")
EQUALS = "="
PLAIN_BASH = "COMPREPLY+=($value)\n"
NO_SPACE_BASH = PLAIN_BASH + " " * 12 + "[[ $value == *= ]] && compopt -o nospace 2>/dev/null\n"
PLAIN_ZSH = 'completions+=("$key")\n'
NO_SPACE_ZSH = PLAIN_ZSH + " " * 16 + "[[ \"$key\" == *= ]] && no_space=(-S '')\n"
ADD_ZSH, ADD_NO_SPACE_ZSH = "compadd -U -V", 'compadd -U "${no_space[@]}" -V'
ARRAY_ZSH = "local -a response\n"

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]


def names_of(*kinds: str) -> list[str]:
    """The names of installed plugins of some kinds, sorted."""
    groups = [group for kind in kinds for group in GROUPS[kind]]
    return sorted({point.name for group in groups for point in metadata.entry_points(group=group)}, key=str.lower)


def plugins(kind: str) -> Complete:
    """What completes the name of a plugin of this kind."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return _items(names_of(kind), incomplete)

    return complete


def any_plugin(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete the name of any plugin: layers as they are written in nets, and all other kinds."""
    names = {point.name for _, point in _points()}
    return _items(sorted(names, key=str.lower), incomplete)


def distributions(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete a distribution with plugins, or a folder."""
    owners = {owner for owner, _ in _points()}
    return [CompletionItem(incomplete, type="dir"), *_items(sorted(owners), incomplete)]


def monitors(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete ``NAME`` of a monitor; its target is a file."""
    name, equals, target = incomplete.partition(EQUALS)
    return [CompletionItem(target, type="file")] if equals else _items(names_of("monitor"), name)


def states(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete a solverstate, or ``auto``."""
    return [CompletionItem(incomplete, type="file"), *_items(["auto"], incomplete)]


def fields(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete ``FIELD=VALUE``: the fields of a solver, and values of those that have a fixed set."""
    name, equals, value = incomplete.partition(EQUALS)
    known = _fields()
    if not equals:
        return _items((f"{each}{EQUALS}" for each in known), name)
    values = names_of(PLUGIN_FIELDS[name]) if name in PLUGIN_FIELDS else _values(known.get(name))
    return _items((f"{name}{EQUALS}{each}" for each in values), f"{name}{EQUALS}{value}")


def _fields() -> dict[str, Any]:
    """The descriptors of a solver's fields."""
    from cafx.cli.files import SOLVER
    from cafx.kernel import schema

    return {field.name: field for field in schema()[SOLVER].DESCRIPTOR.fields}


def _values(field: Any) -> list[str]:
    """The values that a field may have, if they are few."""
    if field is None:
        return []
    if field.enum_type:
        return [value.name for value in field.enum_type.values]
    return list(BOOLEANS) if field.cpp_type == field.CPPTYPE_BOOL else []


def _points() -> list[tuple[str, metadata.EntryPoint]]:
    """All plugins, with their distributions."""
    found = ((owner.name, point) for owner in metadata.distributions() for point in owner.entry_points)
    return [(owner, point) for owner, point in found if point.group.startswith("cafx.")]


def _items(names: Iterable[str], incomplete: str) -> list[CompletionItem[str]]:
    """The names that begin so, whatever the case."""
    return [CompletionItem(name) for name in names if name.lower().startswith(incomplete.lower())]


class Bash(BashComplete):
    """Completion in bash, which parts words at ``=``, and adds no space after it."""

    source_template = BashComplete.source_template.replace(PLAIN_BASH, NO_SPACE_BASH)

    def get_completion_args(self) -> tuple[list[str], str]:
        """The complete words and the incomplete one, with those joined that bash parts at ``=``."""
        args, incomplete = super().get_completion_args()
        joined = _joined([*args, incomplete])
        return joined[:-1], joined[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """An item; of a plain one, the part after ``=``, which is a word of its own in bash."""
        value = str(item.value).partition(EQUALS)[2]
        return f"{item.type},{value}" if value else super().format_completion(item)


class Zsh(ZshComplete):
    """Completion in zsh, with no space after ``=``."""

    source_template = (
        ZshComplete.source_template.replace(ARRAY_ZSH, f"{ARRAY_ZSH}    local -a no_space\n")
        .replace(PLAIN_ZSH, NO_SPACE_ZSH)
        .replace(ADD_ZSH, ADD_NO_SPACE_ZSH)
    )


def _joined(words: list[str]) -> list[str]:
    """Words with ``NAME``, ``=`` and ``VALUE`` as one.

    Example:
        >>> _joined(["--set", "lr_policy", "=", "st"]), _joined(["--set", "lr_policy", "="])
        (['--set', 'lr_policy=st'], ['--set', 'lr_policy='])
    """
    joined: list[str] = []
    for word in words:
        after = bool(joined) and joined[-1].endswith(EQUALS) and not joined[-1].startswith("--")
        if joined and (word == EQUALS or after):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def use_own_shells() -> None:
    """Let click complete with `Bash` and `Zsh`."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
