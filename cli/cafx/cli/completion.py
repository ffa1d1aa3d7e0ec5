"""``cafx completion``: completion of commands, options and file names in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cafx.cli.main import VARIABLE

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), default="bash")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    Besides commands, options and files, it completes layers, engines, monitors and other plugins, and the fields of
    --set.

    \b
    Examples:
    bash:  cafx completion bash >> ~/.bashrc
    zsh:   cafx completion zsh >> ~/.zshrc
    fish:  cafx completion fish > ~/.config/fish/completions/cafx.fish
    """
    from cafx.cli.completing import use_own_shells

    use_own_shells()
    completion_class = get_completion_class(shell)
    assert completion_class is not None, "click supports every shell in SHELLS"
    click.echo(completion_class(context.find_root().command, {}, "cafx", VARIABLE).source())
