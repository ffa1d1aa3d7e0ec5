"""A group whose name alone is a command."""

from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from cafx.cli.defaulting import DefaultGroup
from cafx.cli.spelling import respelled


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path())
@click.option("--only", help="One curve.")
def curves(logs: tuple[str, ...], only: str | None) -> None:
    """Draw curves."""
    click.echo(f"curves {' '.join(logs)} {only}")


@click.command()
@click.option("--labels", help="Classes.")
def points(labels: str | None) -> None:
    """Draw points."""
    click.echo(f"points {labels}")


@click.group(cls=DefaultGroup, default=curves, commands=[points])
def plot() -> None:
    """Draw."""


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["a", "b"], "curves a b None"),
        (["a", "--only", "x"], "curves a x"),
        (["--only", "x", "points"], "curves points x"),
        (["curves", "points"], "curves points None"),
        (["points", "--labels", "l"], "points l"),
        (["--", "points"], "curves points None"),
    ],
)
def test_the_default_command_runs_unless_the_first_word_names_another(words: list[str], output: str) -> None:
    result = CliRunner().invoke(plot, words)
    assert (result.exit_code, result.output) == (0, output + "\n")


def test_options_of_the_default_command_are_respelled() -> None:
    context = click.Context(plot)
    assert respelled(plot, ["a", "-only=x"], context) == ["curves", "a", "--only", "x"]
    assert respelled(plot, ["points", "-labels=x"], context) == ["points", "--labels", "x"]
    with pytest.raises(click.UsageError, match="--labels"):
        respelled(plot, ["a", "--labels=x"], context)


def test_help_shows_the_options_and_the_commands() -> None:
    text = CliRunner().invoke(plot, ["--help"]).output
    assert "[OPTIONS] LOGS..." in text
    assert "--only" in text
    assert "points" in text


def test_without_words_the_default_command_says_what_it_needs() -> None:
    result = CliRunner().invoke(plot, [])
    assert result.exit_code == 2
    assert "Missing argument 'LOGS...'" in result.output


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [([], "", ["curves", "points"]), ([], "po", ["points"]), ([], "ru", ["ru"]), (["a"], "--on", ["--only"])],
)
def test_a_shell_completes_names_files_and_options(words: list[str], incomplete: str, found: list[str]) -> None:
    completed = ShellComplete(plot, {}, "plot", "_PLOT").get_completions(words, incomplete)
    assert [each.value for each in completed] == found
