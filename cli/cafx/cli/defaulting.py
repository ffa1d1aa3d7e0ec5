"""Groups whose name alone is a command: ``cafx plot run.csv`` besides ``cafx plot embedding features.h5``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

HELP = "--help"


class DefaultGroup(click.Group):
    """A group one of whose commands runs unless the first word names another.

    Args:
        default: the command; it is added to the group.
        settings: as for `click.Group`.

    Example:
        >>> plot = DefaultGroup("plot", default=click.Command("training"), commands=[click.Command("embedding")])
        >>> plot.completed(["run.csv"]), plot.completed(["embedding", "features.h5"])
        (['training', 'run.csv'], ['embedding', 'features.h5'])
    """

    def __init__(self, *names: Any, default: click.Command, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.default = default
        self.add_command(default)

    def completed(self, words: Sequence[str]) -> list[str]:
        """The words of a command line, beginning with a command's name.

        Args:
            words: what follows the group's name.
        """
        named = words and (words[0] in self.commands or words[0] == HELP)
        return list(words) if named else [str(self.default.name), *words]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As in click, of the default command if no other is named; a shell completes names where there is no word."""
        completing = ctx.resilient_parsing and not args
        return super().parse_args(ctx, args if completing else self.completed(args))

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Those of the default command."""
        return self.default.collect_usage_pieces(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of the default command, then the names of all commands."""
        self.default.format_options(click.Context(self.default, ctx, self.default.name), formatter)
        self.format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Names of commands; where none begins so, what the default command's first argument can be."""
        first = next((each for each in self.default.params if isinstance(each, click.Argument)), None)
        found = super().shell_complete(ctx, incomplete)
        return found or (first.shell_complete(ctx, incomplete) if first else [])
