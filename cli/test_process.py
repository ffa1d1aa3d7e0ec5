"""The process of a command: closed and broken streams, signals, control characters, little memory."""

from __future__ import annotations

import doctest
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cafx.cli.errors import LONGEST, line_of
from cafx_lib_hints.listed import Listed

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

PATIENCE = 60
CAFX = f"'{sys.executable}' -m cafx.cli"
TRAIN = f"{CAFX} train --solver solver.prototxt"
INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143
ESCAPES = 'layer { name: "a\\033]0;title\\007b\\033[2Jc" type: "Input" top: "x" input_param { shape { dim: 1 } } }'

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX")


@pytest.fixture
def shell(folder: Path, environment: dict[str, str]) -> Run:
    """Run a shell command in the folder with a net and a solver."""

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, text=True, capture_output=True, timeout=PATIENCE
        )

    return run


@pytest.mark.parametrize("name", ["errors", "streams"])
def test_examples_in_docstrings_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"cafx.cli.{name}"))
    assert (results.failed, results.attempted > 0) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [f"{CAFX} plugins list", f"{CAFX} plugins list --json", f"{CAFX} --help", f"{CAFX} train --help"]
)
def test_a_reader_that_ends_is_no_error(shell: Run, command: str) -> None:
    done = shell(f"{command} | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == (f"{BROKEN_PIPE}\n", "")


@pytest.mark.slow
def test_a_reader_of_the_progress_that_ends_is_no_error(shell: Run) -> None:
    done = shell(f"{TRAIN} 2>&1 | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == (f"{BROKEN_PIPE}\n", "")


@pytest.mark.slow
def test_a_closed_standard_output_is_a_pipe_without_a_reader(shell: Run, folder: Path) -> None:
    done = shell(f"{TRAIN} --log run.log -q >&-")
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")
    assert (folder / "tiny_iter_40.solverstate").is_file()
    assert (folder / "run.log").read_text().splitlines()[-1].endswith("Optimization Done.")


@pytest.mark.slow
def test_closed_input_and_errors_are_no_obstacle(shell: Run, folder: Path) -> None:
    done = shell(f"{TRAIN} --log run.log <&- 2>&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Model: tiny_iter_40.caffemodel" in done.stdout
    assert "iteration 10/40" not in (folder / "run.log").read_text()


@pytest.mark.slow
def test_a_full_disk_behind_standard_output_is_an_error(shell: Run) -> None:
    done = shell(f"{CAFX} plugins list --kind filler >/dev/full")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.endswith("No space left on device")


IMPORTING = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from cafx.cli.main import main
main(["time", "net.prototxt", "--iterations", "100000000"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["cafx.cli.process", "click", "cafx.cli.time", "cafx.kernel", "numpy", "numpy.random"]
)
def test_ctrl_c_while_a_module_is_imported_is_one_line(module: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, module],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (INTERRUPTED, "", "interrupted")


SWALLOWED = """
import os, signal, sys
from cafx.cli.process import exit_after

class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass

def run():
    try:
        {before}
    except Exception:
        return 1
    for _ in range(10**9):
        pass
    return 0

exit_after(run)
"""


def test_ctrl_c_is_not_lost_in_a_destructor(environment: dict[str, str]) -> None:
    code = SWALLOWED.format(before="Closing()")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, capture_output=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (INTERRUPTED, "interrupted\n")


TRANSLATED = """
import os, signal
import click
from cafx.cli.process import exit_after
from cafx.cli.main import run

@click.command()
def command():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        import time
        time.sleep(1)
    except KeyboardInterrupt as error:
        raise ImportError("initialisation failed") from error

exit_after(lambda: run([], command, "command"))
"""


def test_ctrl_c_that_a_library_reports_as_its_own_error_is_still_ctrl_c(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRANSLATED], env=environment, text=True, capture_output=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (INTERRUPTED, "interrupted\n")


def _train_for_ever(start: Start, *more: str) -> subprocess.Popen[str]:
    changes = ("--set", "max_iter=1000000000", "--set", "display=0", "--set", "test_interval=1000000")
    process = start("train", "--solver", "solver.prototxt", *changes, *more)
    assert process.stderr is not None
    while "test:" not in process.stderr.readline():
        assert process.poll() is None
    return process


@pytest.mark.slow
def test_sigterm_saves_a_snapshot_and_ends_with_143(folder: Path, start: Start) -> None:
    process = _train_for_ever(start)
    process.send_signal(signal.SIGTERM)
    output, notes = process.communicate(timeout=PATIENCE)
    assert process.returncode == TERMINATED
    assert "send the signal again to stop now" in notes
    assert output.startswith("Stopped after ")
    assert list(folder.glob("tiny_iter_*.solverstate"))


@pytest.mark.slow
def test_a_second_sigterm_stops_at_once(folder: Path, environment: dict[str, str]) -> None:
    code = (
        "import os, signal\n"
        "from cafx.cli.signals import PendingActions\n"
        "from cafx.kernel import Action\n"
        "pending = PendingActions({signal.SIGTERM: Action.STOP}, quiet=True)\n"
        "pending.handle(signal.SIGTERM, None)\n"
        "assert pending.stop and pending.terminated\n"
        "pending.handle(signal.SIGTERM, None)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == TERMINATED


@pytest.mark.slow
def test_control_characters_of_a_file_reach_no_terminal(cafx: Run, folder: Path, environment: dict[str, str]) -> None:
    (folder / "bad.prototxt").write_text(ESCAPES)
    outputs = [cafx("net", "bad.prototxt").stdout, *_in_a_terminal(["net", "bad.prototxt"], folder, environment)]
    for output in outputs:
        assert "\x1b]0;" not in output
        assert "\x1b[2J" not in output
        assert "\\x1b]0;title\\x07b" in output


@pytest.mark.slow
def test_a_progress_bar_still_moves_in_a_terminal(folder: Path, environment: dict[str, str]) -> None:
    (output,) = _in_a_terminal(["train", "--solver", "solver.prototxt"], folder, environment)
    assert "\x1b[2K" in output
    assert "40/40" in output
    assert "\\x1b" not in output


def _in_a_terminal(arguments: list[str], folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """What ``cafx`` writes to a terminal of 200 columns."""
    ours, its = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cafx.cli", *arguments],
        cwd=folder,
        env={**environment, "TERM": "xterm", "COLUMNS": "200"},
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    received = b""
    try:
        while chunk := os.read(ours, 65536):
            received += chunk
    except OSError:  # Linux reports the end of a terminal so
        pass
    os.close(ours)
    assert process.wait(PATIENCE) == 0, received
    yield received.decode()


@pytest.mark.slow
def test_little_memory_is_one_line(folder: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "cafx.cli", "train", "--solver", "solver.prototxt", "--set", "display=0"]
    for mebibytes in (170, 200, 250):
        done = subprocess.run(
            ["sh", "-c", f'ulimit -v {mebibytes << 10} && exec "$@"', "sh", *command],
            cwd=folder,
            env=environment,
            text=True,
            capture_output=True,
            timeout=PATIENCE,
        )
        assert done.returncode in (0, 1)
        if done.returncode:
            (line,) = [line for line in done.stderr.splitlines() if "iteration " not in line and "Training" not in line]
            assert "memory" in line.lower()  # NumPy's OpenBLAS ends the process itself


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("libfoo.so.1: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_every_kind_of_no_memory_is_told_as_such(error: Exception) -> None:
    assert line_of(error).startswith("out of memory;")


def test_long_messages_are_shortened() -> None:
    text = line_of(ValueError("x" * 10**6 + "\n\x1b[31m"))
    assert len(text) <= LONGEST
    assert text.startswith("ValueError: xxx")
    assert "\x1b" not in text
    assert "\n" not in text


def test_a_list_is_told_line_by_line_and_nothing_in_it_breaks_a_line() -> None:
    error = Listed("lacks 2 things", ["a\nerror: b", "\x1b[31m" + "x" * 10**6], where="net", remedy="add them")
    lines = line_of(error).split("\n")
    assert lines[:2] == ["net: lacks 2 things:", "  a error: b"]
    assert lines[2].startswith(r"  \x1b[31mxxx")
    assert len(lines[2]) <= LONGEST
    assert lines[3:] == ["add them"]
