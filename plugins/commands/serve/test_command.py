"""The command line: starting, mistakes, target accuracy, Ctrl-C."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cafx.conformance import plugin_suite

TestServe = plugin_suite("command", "serve")

slow = functools.partial(pytest.param, marks=pytest.mark.slow)
NET = ("deploy.prototxt", "-w", "w.caffemodel")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(colours: Path) -> Run:
    def run(*arguments: str, code: int = 1) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cafx.cli", "serve", *arguments]
        result = subprocess.run(command, cwd=colours, text=True, capture_output=True, timeout=120, check=False)
        assert result.returncode == code, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (NET[:1], "--weights FILE", 2),
        slow((*NET, "--labels", "tree.tsv"), "wrong number of labels: got 6, expected 3", 1),
        slow((*NET, "--labels", "nowhere.txt"), "nowhere.txt: cannot be read", 1),
        slow((*NET, "--tree", "tree.tsv"), "--labels FILE", 1),
        slow((*NET, "--tree", "cifar10", "--labels", "labels.txt"), "the tree lacks classes", 1),
        slow((*NET, "--target-accuracy", "0.9"), "belong together", 2),
        slow((*NET, "--size", "0x5"), "not a size", 2),
        slow((*NET, "--host", "192.0.2.1"), "192.0.2.1:5000: cannot listen", 1),
        slow((*NET, "--preprocessing", "labels.txt"), "labels.txt", 1),
        slow((*NET, "--output", "fc"), "no output 'fc'", 1),
        slow(("nowhere.prototxt", "-w", "x"), "nowhere.prototxt", 1),
    ],
)
def test_mistakes_are_told(arguments: tuple[str, ...], message: str, code: int, run: Run) -> None:
    assert message in run(*arguments, "--port", "0" if "192.0.2.1" not in arguments else "5000", code=code).stderr


@pytest.fixture
def started(colours: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "cafx.cli", "serve", *NET, "--port", "0", *arguments]
        process = subprocess.Popen(command, cwd=colours, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), slow(signal.SIGTERM, -signal.SIGTERM)])
def test_a_server_starts_answers_and_ends(number: int, code: int, colours: Path, started: Callable[..., Any]) -> None:
    (colours / "list.txt").write_text("red.png 2\n" * 3)
    hedge = ("--tree", "tree.tsv", "--validation", "list.txt", "--target-accuracy", "0.9")
    process, url = started("--labels", "labels.txt", *hedge)
    assert url.startswith("http://127.0.0.1:")
    request = urllib.request.Request(
        f"{url}classify", (colours / "red.png").read_bytes(), {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.load(response)["top"][0]["label"] == "a red"
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert "preprocessing: resized to 6×6 (antialias), BGR from 0 to 255, no mean" in errors
    assert "100.0% of 3 answers right" in errors


@pytest.mark.slow
def test_a_port_in_use_is_told(run: Run, started: Callable[..., Any]) -> None:
    _, url = started("--quiet")
    port = url.rstrip("/").rpartition(":")[2]
    assert "in use; --port names another port" in run(*NET, "--port", port).stderr


@pytest.mark.slow
def test_quiet_prints_the_address_only(started: Callable[..., Any]) -> None:
    process, url = started("-q")
    assert url
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "")
