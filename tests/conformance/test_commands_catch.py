"""Each check of the checklist of commands catches a command that violates its requirement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import pytest

from cafx.cli.process import BROKEN_PIPE
from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds.command import CommandCase
from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write

CHECKS = load_checks("command")
DOC = """Write the words of FILE to OUT, one per line.

    \b
    Example:
    cafx words text.txt words.txt
    """
SILENT = click.Option(["--silent"])


def read(file: str) -> list[str]:
    """The words of a text."""
    try:
        return Path(file).read_text("ascii").split()
    except (OSError, ValueError) as error:
        raise CafxError("cannot be read as text", where=file) from error


def write(out: str, words: list[str]) -> None:
    """Write words, all or nothing."""
    with atomic_write(Path(out)) as target:
        for word in words:
            target.write(f"{word}\n".encode())
            step()


def step() -> None:
    """A point at which a run is interrupted."""


def work(file: str, out: str, as_json: bool) -> None:
    """What the command does."""
    words = read(file)
    write(out, words)
    click.echo(json.dumps({"words": len(words)}) if as_json else f"{len(words)} words")


def prepare(folder: Path) -> None:
    """A text."""
    (folder / "text.txt").write_text("one two three")


def good_cases() -> Iterable[CommandCase]:
    """As text and as JSON."""
    run = ["text.txt", "words.txt"]
    yield CommandCase("text", run, prepare, ["words.txt"])
    yield CommandCase("json", [*run, "--json"], prepare, ["words.txt"])


def made(
    run: Callable[..., Any] = work, doc: str = DOC, cases: Callable[[], Any] = good_cases, *more: click.Parameter
) -> click.Command:
    """The command, with another function, docstring, cases or options."""

    @click.command("words", help=doc)
    @click.argument("file")
    @click.argument("out")
    @click.option("--json", "as_json", is_flag=True, help="Print machine-readable JSON.")
    def words(file: str, out: str, as_json: bool, **_: Any) -> None:
        run(file, out, as_json)

    words.params += more
    words.cases = cases  # type: ignore[attr-defined]
    words.__module__ = __name__
    return words


def lenient(file: str, out: str, as_json: bool) -> None:
    """Take a missing or wrong file for an empty one."""
    try:
        work(file, out, as_json)
    except CafxError:
        write(out, [])


def raising(file: str, out: str, as_json: bool) -> None:
    """Raise whatever Python raises."""
    write(out, Path(file).read_text("ascii").split())


def talking(file: str, out: str, as_json: bool) -> None:
    """Print before it reads."""
    click.echo("reading")
    work(file, out, as_json)


def nameless(file: str, out: str, as_json: bool) -> None:
    """Do not name the file."""
    try:
        work(file, out, as_json)
    except CafxError:
        raise CafxError("something is wrong") from None


def half(file: str, out: str, as_json: bool) -> None:
    """Begin to write before it reads."""
    Path(out).write_text("")
    work(file, out, as_json)


def unsafe(file: str, out: str, as_json: bool) -> None:
    """Write in place."""
    words = read(file)
    with Path(out).open("w") as target:
        for word in words:
            step()
            target.write(f"{word}\n")


def deaf(file: str, out: str, as_json: bool) -> None:
    """Swallow Ctrl-C."""
    try:
        work(file, out, as_json)
    except KeyboardInterrupt:
        click.echo("no")


def counted(file: str, out: str, as_json: bool) -> None:
    """Print something else in each run."""
    work(file, out, as_json)
    counted.runs = getattr(counted, "runs", 0) + 1  # type: ignore[attr-defined]
    click.echo(str(counted.runs))  # type: ignore[attr-defined]


def plain(file: str, out: str, as_json: bool) -> None:
    """Ignore --json."""
    work(file, out, False)


def piped(file: str, out: str, as_json: bool) -> None:
    """Report a closed pipe."""
    try:
        work(file, out, as_json)
    except BrokenPipeError:
        raise CafxError("standard output is closed") from None


def failing(file: str, out: str, as_json: bool) -> None:
    """Fail in every run."""
    raise CafxError("no")


class Strange(click.Command):
    """A command that takes any option, and whose --help fails."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Ignore what is unknown."""
        if "--help" in args:
            raise CafxError("no help")
        return super().parse_args(ctx, [each for each in args if not each.startswith("--no-such")])


strange = Strange("words", callback=made().callback, params=made().params, help=DOC)
strange.cases = good_cases  # type: ignore[attr-defined]
SHORT = [CommandCase("text", ["text.txt", "words.txt"], prepare)]
TEXT = [CommandCase("text", ["text.txt", "words.txt"], prepare, ["words.txt"])]
WRONG: list[tuple[str, Any]] = [
    ("entry-point", types.SimpleNamespace(cases=good_cases, __module__=__name__, __doc__=DOC)),
    ("docstring", made(doc="Words.")),
    ("cases", made(cases=lambda: ())),
    ("cases", made(cases=lambda: TEXT * 2)),
    ("help", made(doc="Write the words of FILE to OUT, one per line.")),
    ("help", made(work, DOC, good_cases, SILENT)),
    ("help-exit", strange),
    ("unknown-option", strange),
    ("missing-file", made(lenient)),
    ("missing-file", made(nameless)),
    ("missing-file", made(talking)),
    ("missing-file", made(half)),
    ("wrong-file", made(raising)),
    ("wrong-file", made(lenient)),
    ("succeeds", made(failing)),
    ("succeeds", made(cases=lambda: SHORT)),
    ("repeats", made(counted)),
    ("json", made(plain)),
    ("json", made(cases=lambda: TEXT)),
    ("broken-pipe", made(piped)),
    ("interrupted", made(unsafe)),
    ("interrupted", made(deaf)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "command"), WRONG, ids=lambda each: each if isinstance(each, str) else "")
def test_the_check_catches_it(check_id: str, command: Any) -> None:
    assert failures("command", command, check_id, name="words")


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_command_passes(check_id: str) -> None:
    assert failures("command", made(), check_id, name="words") == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)


def test_a_run_with_an_endless_case_is_not_started() -> None:
    endless = [CommandCase("server", ["text.txt", "words.txt"], prepare, endless="serves")]
    command = made(failing, DOC, lambda: endless)
    for check_id in ("succeeds", "repeats", "json", "broken-pipe", "interrupted"):
        assert failures("command", command, check_id, name="words") == []


def test_an_outdated_skip_is_noticed() -> None:
    from cafx.conformance import CheckFailure, Subject, items
    from cafx.kernel import Registry

    skipped = [CommandCase("text", ["text.txt", "words.txt"], prepare, ["words.txt"], skip={"repeats": "prints times"})]
    plugins = Registry()
    plugins.add("command", "words", made(cases=lambda: skipped))
    found = [each for each in items(Subject.of("words", plugins, "command"), "command") if each.check.id == "repeats"]
    with pytest.raises(CheckFailure, match="remove the entry"):
        found[0].run()


@pytest.mark.slow
def test_a_run_in_a_process_of_its_own_ends_as_the_checks_see_it(tmp_path: Path) -> None:
    """With standard output closed, which the checks only pretend."""
    (tmp_path / "w.caffemodel").write_bytes(b"no weights")
    for arguments, code in ((["--help"], BROKEN_PIPE), (["weights", "w.caffemodel"], 1)):
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "cafx.cli", *arguments]
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
        os.close(writing)
        assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
