"""``cafx new``: creating a plugin from a template."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import json_option, quiet_option
from cafx.cli.templates.kinds import ALIASES, EVERY, Kind

if TYPE_CHECKING:
    from cafx.cli.templates.writing import CreatedPlugin


class KindGroup(click.Group):
    """A command per kind of plugin, found by other names of the kind as well."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The kinds, in the order of their table."""
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See `click.Group`."""
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with suggestions for an unknown kind."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], [*self.commands, *ALIASES], n=1)
            advice = f"did you mean '{near[0]}'?" if near else "'cafx new' lists the kinds"
            raise click.UsageError(f"there is no kind of plugin '{args[0]}'; {advice}", error.ctx) from None


@click.group(cls=KindGroup, invoke_without_command=True, subcommand_metavar="KIND NAME")
@click.pass_context
def new(context: click.Context) -> None:
    """Create a plugin from a template: a package that installs, passes `cafx check` and can be published.

    \b
    Examples:
      cafx new layer SoftClip
      cafx new policy cosine --author "Ada Lovelace" --email ada@example.org
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _command(kind: Kind) -> click.Command:
    """The command that creates plugins of a kind."""
    about = "is a layer type that is installed" if kind.names_a_layer else "has words, as in SoftClip or soft-clip"
    help_text = (
        f"Create the package cafx-{kind.name}-NAME. {kind.summary}\n\n"
        f"NAME {about}. The plugin passes `cafx check` as it is. It starts with a working example "
        f"({kind.starts_with}); replace that with your own.\n\n"
        f"\b\nExample:\n  cafx new {kind.name} {kind.example}\n"
    )
    command = click.command(kind.name, help=help_text, short_help=kind.summary)
    options = [
        click.argument("name"),
        click.option(
            "--into",
            default=".",
            show_default=True,
            type=click.Path(file_okay=False, exists=True),
            help="Parent folder.",
        ),
        click.option("--author", metavar="NAME", help="Author (default: git's user.name)."),
        click.option("--email", metavar="ADDRESS", help="Address of the author (default: git's user.email)."),
        click.option("--url", metavar="URL", help="Page of the plugin."),
        json_option,
        quiet_option,
    ]
    if kind.name == "routine":
        options.append(
            click.option("--engine", default="onednn", show_default=True, metavar="NAME", help="Engine that runs it.")
        )

    def run(**values: Any) -> None:
        create_plugin(kind, **values)

    return command(functools.reduce(lambda function, option: option(function), reversed(options), run))


def create_plugin(kind: Kind, as_json: bool, quiet: bool, **values: Any) -> None:
    """Create a plugin and print what it consists of, and the next commands."""
    from cafx.cli.templates.writing import Request, create

    created = create(Request(kind, **values))
    if not created.author.is_known and not quiet:
        click.echo("note: the author is a placeholder; set authors in pyproject.toml", err=True)
    commands = next_commands(created)
    if as_json:
        import json

        click.echo(json.dumps(_as_json(created, commands), indent=1, ensure_ascii=False))
        return
    click.echo(f"{created.folder}/")
    for path in created.files:
        click.echo(f"  {path}")
    if quiet:
        return
    click.echo("Next:")
    for each in commands[:2]:
        click.echo(f"  {each}")
    click.echo(f"Then edit {created.folder}/{created.module}.py. {created.usage}.")
    click.echo("Publish, after a look at its pyproject.toml:")
    for each in commands[2:]:
        click.echo(f"  {each}")


def next_commands(created: CreatedPlugin) -> list[str]:
    """The commands that install, check, build and publish a plugin in this environment."""
    from cafx.cli.installing import cafx_command, install_command, publish_commands

    folder = str(created.folder)
    return [install_command("-e", folder), cafx_command("check", folder), *publish_commands(folder)]


def _as_json(created: CreatedPlugin, commands: list[str]) -> dict[str, Any]:
    return {
        "folder": str(created.folder),
        "files": created.files,
        "kind": created.kind,
        "name": created.name,
        "distribution": created.distribution,
        "module": created.module,
        "next": commands,
    }


for _kind in EVERY:
    new.add_command(_command(_kind))
