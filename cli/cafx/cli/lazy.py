"""Commands, imported when they are run: a table of the built-in ones, and those of plugins."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import attrs
import click

from cafx.cli.colours import Context
from cafx.cli.spelling import respelled

GROUP = "cafx.commands"

COMMANDS = {
    "train": ("cafx.cli.train:train", "Train the net defined in a net.py or in a solver prototxt."),
    "test": ("cafx.cli.test:test", "Score a net with trained weights."),
    "time": ("cafx.cli.time:time", "Time a net layer by layer."),
    "net": ("cafx.cli.net:net", "Show layers, engines, shapes and memory of a net."),
    "device": ("cafx.cli.device:device", "Show engines and GPUs, and what a GPU engine lacks."),
    "emit": ("cafx.cli.emit:emit", "Print a net.py as prototxt."),
    "plugins": ("cafx.cli.plugins:plugins", "List and describe installed plugins."),
    "new": ("cafx.cli.new:new", "Create a plugin from a template."),
    "explain": ("cafx.cli.explain:explain", "Explain an error."),
    "doctor": ("cafx.cli.doctor:doctor", "Check the installation, and this machine."),
    "check": ("cafx.cli.check:check", "Run the conformance suite on a plugin."),
    "completion": ("cafx.cli.completion:completion", "Print a shell completion script."),
}
"""Built-in commands: where each is found, and its line in ``cafx --help``."""
CAFFE_NAMES = {
    "device-query": "device",
    "upgrade-net-proto-text": "upgrade",
    "upgrade-net-proto-binary": "upgrade",
    "upgrade-solver-proto-text": "upgrade",
    "convert-mnist-data": "convert-mnist",
    "convert-cifar-data": "convert-cifar10",
    "draw-net": "draw",
    "plot-training-log": "plot",
}
"""Commands by the names of Caffe's tools, where these differ by more than underscores."""


@attrs.define
class Settings:
    """State of one run of the command line; plugins' commands receive it by ``click.pass_obj``.

    Attributes:
        debug: whether errors show their traceback.
    """

    debug: bool = False

    def net(self, path: str, phase: str, **settings: Any) -> Any:
        """Build the `cafx.kernel.Net` that a prototxt (of a net or solver) or a net.py defines.

        Args:
            path: the file.
            phase: ``"TRAIN"`` or ``"TEST"``.
            settings: ``engine`` (an `EngineChoice` or a name), ``level``, ``stage``, ``weights``, and
                keywords of `cafx.kernel.Net`: ``precision``, ``threads``, ``device``, ``seed``, ``keep``.

        Raises:
            CafxError: the net is invalid, or a weights file has none of its layers.
        """
        from cafx.cli.nets import build_net

        return build_net(path, phase, **settings)

    def definition(self, path: str, phase: str, **state: Any) -> Any:
        """The same net's `cafx.kernel.net.NetDefinition`; no layer is built and no data is read.

        Args:
            path: the file.
            phase: ``"TRAIN"`` or ``"TEST"``.
            state: ``level`` and ``stage``.
        """
        from cafx.cli.nets import net_definition

        return net_definition(path, phase, **state)


def debug_option() -> click.Option:
    """The ``--debug`` option of every command."""

    def enable(context: click.Context, _: click.Parameter, value: bool) -> None:
        if value and isinstance(context.obj, Settings):
            context.obj.debug = True

    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, is_eager=True, callback=enable, help="Show full tracebacks."
    )


class LazyGroup(click.Group):
    """The group of built-in and plugin commands; a command is imported when it is run."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Built-in commands in the order of the table, then those of plugins by name."""
        return [*COMMANDS, *sorted(_plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, by its name or that of Caffe's tool; CafxError if a plugin's cannot be imported."""
        plain = cmd_name.replace("_", "-").removesuffix(".py").removesuffix(".bin")
        cmd_name = CAFFE_NAMES.get(plain, plain)
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name][0].partition(":")
            return with_debug(getattr(importlib.import_module(module), name))
        return with_debug(_load(cmd_name)) if cmd_name in _plugin_commands() else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with options as `cafx.cli.spelling` reads them, and suggestions for an unknown name."""
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except click.UsageError as error:
            advice = None if "mean" in error.message else _advice(args[0], self.list_commands(ctx))
            if not advice:
                raise
            raise click.UsageError(f"{error.message} {advice}", ctx) from None
        return name, command, respelled(command, rest, ctx) if command else rest

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As in click, with the group's own options as `cafx.cli.spelling` reads them."""
        return super().parse_args(ctx, respelled(self, args, ctx))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands with a line of help each, without importing them."""
        rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        plugin_rows = [(name, _summary(points)) for name, points in sorted(_plugin_commands().items())]
        if plugin_rows:
            with formatter.section("Commands from plugins"):
                formatter.write_dl(plugin_rows)


def with_debug(command: click.Command) -> click.Command:
    """Add ``--debug`` and coloured help to a command and its subcommands."""
    command.context_class = Context
    if not any("--debug" in parameter.opts for parameter in command.params):
        command.params.append(debug_option())
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            with_debug(subcommand)
    return command


def _advice(name: str, known: list[str]) -> str | None:
    """What to do about an unknown command: one of like name, or how to install it."""
    import difflib

    from cafx.kernel.registry import registry

    close, hints = difflib.get_close_matches(name, known, n=2), registry().hints()
    advice = hints.remedy("command", name, ()) if hints else None
    if advice:
        return f"{advice[0].upper()}{advice[1:]}"
    return f"Did you mean {' or '.join(close)}?" if close else None


def _plugin_commands() -> dict[str, list[metadata.EntryPoint]]:
    """Entry points of plugins' commands by name; several if distributions claim the same name."""
    points: dict[str, dict[Any, metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group=GROUP):
        if point.name not in COMMANDS:
            owner = point.dist.name if point.dist else ""
            points.setdefault(point.name, {})[owner, point.value] = point
    return {name: list(claims.values()) for name, claims in points.items()}


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
        raise CafxError(f"plugin '{name}' is not a command", found=type(command).__name__, expected="a click.Command")
    return command
