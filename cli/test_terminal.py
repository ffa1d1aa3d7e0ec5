"""What a terminal, a pipe and a program see: colours, encodings, widths, JSON errors, and examples in help."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from cafx.cli.group import cafx as program
from cafx.cli.reporting import asks_for_json
from cafx.cli.tables import Column, fits, table

Run = Callable[..., subprocess.CompletedProcess[str]]

ESCAPE = "\x1b["
LIMIT = 60
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9)
CELLS = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}
SPLITTING = """
name: "Splits"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "ReLU" bottom: "data" top: "a" }
layer { name: "b" type: "TanH" bottom: "data" top: "b" }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
"""


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, with the words that call them."""
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, click.Context(below, context, info_name=name))


EVERY_COMMAND = dict(commands(program, click.Context(program, info_name="cafx")))


@pytest.mark.parametrize("path", EVERY_COMMAND)
def test_the_help_of_every_command_has_an_example(path: str) -> None:
    help_text = EVERY_COMMAND[path].help or ""
    _, heading, examples = help_text.partition("Example")
    assert heading, f"{path} --help has no example"
    assert re.search(rf"(^|\s){re.escape(path)}(\s|$)", examples), f"no example of {path}"


def on_terminal(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """What ``cafx`` writes to a terminal."""
    main, side = pty.openpty()
    command = [sys.executable, "-m", "cafx.cli", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=side, stdout=side, stderr=side)
    os.close(side)
    output = b""
    while True:
        try:
            read = os.read(main, 1 << 16)
        except OSError:  # all of it has been read
            break
        if not read:
            break
        output += read
    os.close(main)
    process.wait(LIMIT)
    return output.decode()


@pytest.fixture
def plain(environment: dict[str, str]) -> dict[str, str]:
    """That environment, in which nothing is said of colours."""
    kept = {name: value for name, value in environment.items() if "COLOR" not in name and name != "TTY_COMPATIBLE"}
    return {**kept, "TERM": "xterm-256color"}


@pytest.mark.slow
def test_errors_and_help_are_coloured_on_a_terminal(folder: Path, plain: dict[str, str]) -> None:
    assert f"{ESCAPE}31m{ESCAPE}1merror:{ESCAPE}0m nowhere.prototxt: " in on_terminal(
        folder, plain, "net", "nowhere.prototxt"
    )
    help_text = on_terminal(folder, plain, "net", "--help")
    assert f"{ESCAPE}1mOptions:{ESCAPE}0m" in help_text
    assert f"{ESCAPE}36m-h, --help{ESCAPE}0m" in help_text
    assert f"{ESCAPE}1merror:" in on_terminal(folder, plain, "net", "--nonsense")


@pytest.mark.parametrize("setting", [("NO_COLOR", "1"), pytest.param(("TERM", "dumb"), marks=pytest.mark.slow)])
def test_colours_can_be_switched_off(folder: Path, plain: dict[str, str], setting: tuple[str, str]) -> None:
    environment = {**plain, setting[0]: setting[1]}
    for arguments in (["net", "nowhere.prototxt"], ["net", "--help"], ["--nonsense"]):
        assert ESCAPE not in on_terminal(folder, environment, *arguments)


@pytest.mark.slow
def test_pipes_get_no_colours_unless_asked_for(cafx: Run, plain: dict[str, str]) -> None:
    del plain
    colourless = [(name, "") for name in ("FORCE_COLOR", "TTY_COMPATIBLE")]
    assert ESCAPE not in cafx("net", "--help", env=colourless).stdout
    assert ESCAPE not in cafx("net", "nowhere.prototxt", code=1, env=colourless).stderr
    assert ESCAPE in cafx("net", "--help", env=[("FORCE_COLOR", "1")]).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["net", "nowhere.prototxt", "--json"], 1, {"where": "nowhere.prototxt", "remedy": "check the path"}),
        (["net", "--json", "--nonsense"], 2, {"message": "No such option: --nonsense."}),
        pytest.param(["net", "--json"], 2, {"message": "Missing argument 'FILE'."}, marks=pytest.mark.slow),
        pytest.param(["tran", "-json"], 2, {"code": 2}, marks=pytest.mark.slow),
    ],
)
def test_with_json_errors_are_json(cafx: Run, arguments: list[str], code: int, expected: dict[str, object]) -> None:
    done = cafx(*arguments, code=code)
    error = json.loads(done.stderr)["error"]
    assert done.stdout == ""
    assert expected.items() <= error.items()
    assert error["code"] == code


def test_who_asks_for_json() -> None:
    assert asks_for_json(["net", "--json=true"])
    assert asks_for_json(["net", "-json"])
    assert not asks_for_json(["net", "json"])
    assert not asks_for_json(["net", "--json=false"])


@pytest.mark.parametrize(
    "name", ["C", *(pytest.param(each, marks=pytest.mark.slow) for each in ENCODINGS if each != "C")]
)
def test_output_that_is_not_utf_8_is_legible(folder: Path, environment: dict[str, str], name: str) -> None:
    def output(*arguments: str) -> bytes:
        command = [sys.executable, "-m", "cafx.cli", *arguments]
        return subprocess.run(
            command, cwd=folder, env={**environment, **ENCODINGS[name]}, stdout=subprocess.PIPE, check=True
        ).stdout

    times = b"\xd7" if name == "latin-1" else b"x"
    assert b"ip1 4" + times + b"5" in output("net", "net.prototxt")
    assert b"cupy, ..." in output("train", "--help")


@pytest.mark.slow
def test_tables_in_pipes_are_as_wide_as_columns_says(cafx: Run) -> None:
    lines = cafx("net", "net.prototxt", env=[("COLUMNS", "72"), ("FORCE_COLOR", "")]).stdout.splitlines()
    framed = [cell_len(line) for line in lines if line.startswith(("│", "┃", "┏", "└"))]
    assert 60 < max(framed) <= 72


@pytest.mark.slow
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=2, max_size=4), st.integers(30, 120))
def test_a_table_fits_and_splits_no_word_that_has_room(rows: list[list[str]], width: int) -> None:
    columns = [Column.of(f"title{index}", cells) for index, cells in enumerate(zip(*rows, strict=True))]
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(table(columns, width))
    text = capture.get()
    assert max(map(cell_len, text.splitlines())) <= width
    words = re.findall(r"\w+", text)
    if fits(columns, width):
        assert sorted(words) == sorted(
            word for each in (*rows, ["title0 title1 title2"]) for c in each for word in c.split()
        )


@pytest.mark.slow
def test_automatic_splits_and_constant_columns_are_hidden(cafx: Run, folder: Path) -> None:
    (folder / "splits.prototxt").write_text(SPLITTING)
    output = cafx("net", "splits.prototxt", "-e", "numpy", env=[("COLUMNS", "100")]).stdout
    assert "Splits (TEST, engine numpy, routine plain, place host)" in output
    assert "_split_" not in output
    assert not {"routine", "parameters"} & set(output.splitlines()[2].split())
    assert "automatic splits: 1, shown by --all" in output
    every = cafx("net", "splits.prototxt", "-e", "numpy", "--all", env=[("COLUMNS", "100")]).stdout
    assert "data_data_0_split_1" in every
    assert "automatic splits" not in every
    assert len(json.loads(cafx("net", "splits.prototxt", "--json", "-e", "numpy").stdout)["layers"]) == 5
