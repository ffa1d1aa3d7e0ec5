"""``cafx completion``: completion of commands, options and file names in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_CAFX_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), default="bash")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  cafx completion bash >> ~/.bashrc
    zsh:   cafx completion zsh >> ~/.zshrc
    fish:  cafx completion fish > ~/.config/fish/completions/cafx.fish
    """
    completion_class = get_completion_class(shell)
    assert completion_class is not None, "click supports every shell in SHELLS"
    click.echo(completion_class(context.find_root().command, {}, "cafx", VARIABLE).source())
