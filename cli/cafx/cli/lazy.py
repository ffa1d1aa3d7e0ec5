"""Commands that are imported when they are run: the table of our own, and those of plugins."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import attrs
import click

GROUP = "cafx.commands"

COMMANDS = {
    "train": ("cafx.cli.train:train", "Train a net: a net.py, or a solver's prototxt."),
    "test": ("cafx.cli.score:test", "Score a net with trained weights."),
    "time": ("cafx.cli.timing:time", "Time a net, layer by layer."),
    "net": ("cafx.cli.show:net", "Show a net's schedule: routines, shapes, memory."),
    "emit": ("cafx.cli.emit:emit", "Print a net.py as prototxt."),
    "plugins": ("cafx.cli.plugins:plugins", "List and describe the installed plugins."),
    "new": ("cafx.cli.new:new", "Write the beginnings of a plugin."),
    "check": ("cafx.cli.check:check", "Run the conformance suite on a plugin."),
    "completion": ("cafx.cli.completion:completion", "Print the completion script for a shell."),
}


@attrs.define
class Settings:
    """What holds for the whole command line; commands of plugins get it by ``click.pass_obj``.

    Attributes:
        debug: show tracebacks.
    """

    debug: bool = False

    def net(self, path: str, phase: str, **settings: Any) -> Any:
        """The `cafx.kernel.Net` that a prototxt (of a net or a solver) or a net.py describes."""
        from cafx.cli.scoring import build

        return build(path, phase, **settings)

    def definition(self, path: str, phase: str, **settings: Any) -> Any:
        """The same net's `cafx.kernel.net.NetDefinition`: nothing is built, no data is needed."""
        from cafx.cli.scoring import definition

        return definition(path, phase, **settings)


def debug_option() -> click.Option:
    """``--debug``, which every command takes."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value and isinstance(context.obj, Settings):
            context.obj.debug = True

    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, is_eager=True, callback=remember,
        help="Show the traceback of an error.",
    )  # fmt: skip


class LazyGroup(click.Group):
    """The group of our own commands and of those plugins bring, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Our own in the order of the table, then the plugins'."""
        return [*COMMANDS, *sorted(_brought())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command itself; CafxError where a plugin's cannot be imported."""
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            return with_debug(getattr(importlib.import_module(module), name))
        return with_debug(_load(cmd_name)) if cmd_name in _brought() else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with near misses for an unknown name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2)
            if not close or "mean" in error.message:
                raise
            meant = f"{error.message} Did you mean {' or '.join(close)}?"
            raise click.UsageError(meant, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their short help, without importing any."""
        rows = [(name, told) for name, (_, told) in COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        brought = [(name, _summary(points)) for name, points in sorted(_brought().items())]
        if brought:
            with formatter.section("Commands from plugins"):
                formatter.write_dl(brought)


def with_debug(command: click.Command) -> click.Command:
    """``command``, and what is under it, taking ``--debug``."""
    if not any("--debug" in parameter.opts for parameter in command.params):
        command.params.append(debug_option())
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_debug(below)
    return command


def _brought() -> dict[str, list[metadata.EntryPoint]]:
    """Entry points of the plugins' commands, by name; more than one where they clash."""
    found: dict[str, dict[Any, metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group=GROUP):
        if point.name not in COMMANDS:
            owner = point.dist.name if point.dist else ""
            found.setdefault(point.name, {})[owner, point.value] = point
    return {name: list(points.values()) for name, points in found.items()}


def _summary(points: list[metadata.EntryPoint]) -> str:
    owner = points[0].dist
    if len(points) > 1:
        return "Claimed by " + " and ".join(p.dist.name for p in points if p.dist) + "."
    return str(owner.metadata["Summary"] or f"From {owner.name}.") if owner else ""


def _load(name: str) -> click.Command:
    from cafx.kernel.errors import CafxError
    from cafx.kernel.registry import registry

    command = registry().load("command", name)
    if not isinstance(command, click.Command):
        raise CafxError(f"command '{name}' is not one", found=type(command).__name__, expected="a click.Command")
    return command
