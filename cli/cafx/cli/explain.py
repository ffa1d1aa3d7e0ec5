"""``cafx explain``: what an error means, and what to do about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cafx.cli.options import json_option
from cafx.cli.terminal import console

if TYPE_CHECKING:
    from cafx.cli.explanations import Page


def _ids(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    from cafx.cli.explanations import pages

    return [CompletionItem(name) for name in pages() if name.lower().startswith(incomplete.lower())]


@click.command()
@click.argument("words", nargs=-1, metavar="[ID|MESSAGE|WORDS]", shell_complete=_ids)
@json_option
def explain(words: tuple[str, ...], as_json: bool) -> None:
    """Explain an error: by the id in brackets at its end, by its message, or by words.

    Without an argument, all errors that are explained are listed.

    \b
    Examples:
    cafx explain E-layer-type
    cafx explain "unknown layer type 'Foo'"
    cafx explain label
    """
    from cafx.cli.explanations import find, pages
    from cafx.kernel.errors import CafxError

    text = " ".join(words)
    found = find(text) if words else list(pages().values())
    if not found:
        raise CafxError("no explanation is about this", found=text, remedy="'cafx explain' lists all")
    if as_json:
        rows = [{"id": page.name, "title": page.title, "messages": page.messages, "text": page.text} for page in found]
        click.echo(json.dumps(rows))
    elif len(found) == 1:
        _show(found[0])
    else:
        width = max(len(page.name) for page in found)
        click.echo("\n".join(f"{page.name:{width}}  {page.title}" for page in found))


def _show(page: Page) -> None:
    """A page: in Markdown, or on a terminal as it is meant to look."""
    if not console().is_terminal:
        click.echo(page.whole)
        return
    from rich.markdown import Markdown

    console().print(Markdown(page.whole))
