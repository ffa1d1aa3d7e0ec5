"""``cafx stubs``: type stubs of installed layers and of SolverSpec, for editors and type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cafx.conformance.kinds.command import CommandCase


@click.command()
@click.option(
    "--out",
    metavar="DIR",
    default="typings",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Folder of stubs, as type checkers search it.",
)
@click.option("--in-place", is_flag=True, help="Update the stubs inside the installed cafx-dsl instead.")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit with 1 if the stubs are not up to date.")
def stubs(out: str, in_place: bool, only_check: bool) -> int:
    """Write type stubs of all installed layers.

    Type checkers and editors then know each layer, with its options, their types, defaults and documentation, in
    `from cafx.dsl import layers as L`; so they do SolverSpec. The stubs of the standard layers come with cafx-dsl: run
    this after you have installed further plugins.

    Pyright finds DIR where it is called typings; for mypy, set mypy_path = "typings".

    \b
    Examples:
    cafx stubs
    cafx stubs --in-place
    """
    from cafx_command_stubs.writing import in_environment, outdated, write

    folder = in_environment() if in_place else out
    if only_check:
        changed = outdated(folder, whole=not in_place)
        click.echo("\n".join(f"not up to date: {path}" for path in changed) or f"{folder}: up to date")
        return 1 if changed else 0
    count = write(folder, whole=not in_place)
    click.echo(f"{count} layers: {folder}")
    return 0


def cases() -> Iterator[CommandCase]:
    """For `cafx check`: stubs in a folder."""
    from cafx.conformance.kinds.command import CommandCase

    yield CommandCase("folder", ["--out", "typings"], outputs=("typings",))
