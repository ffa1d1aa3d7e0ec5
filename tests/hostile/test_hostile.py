"""Changed inputs work or are refused; kills and changing shapes do no harm. The scripts here do the same at length."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INPUTS, KILLS, ITERATIONS = 5000, 7, 300
LIMIT = 300

pytestmark = pytest.mark.slow


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / script), *arguments]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=LIMIT, check=False)


def test_changed_inputs_work_or_are_refused(tmp_path: Path) -> None:
    done = run("run.py", "--count", str(INPUTS), "--seed", "1", "--out", str(tmp_path), "--workers", "2", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.glob("*.input"))


def test_an_interrupted_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    command = ("run.py", "--count", "120", "--target", "BinaryProto", "--out", str(tmp_path), "--quiet")
    first = run(*command)
    record = tmp_path / "done.jsonl"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(lines[:1]))
    second = run(*command)
    assert second.stdout == first.stdout
    assert sorted(record.read_text().splitlines(keepends=True)) == sorted(lines)


def test_a_failing_input_is_kept(tmp_path: Path) -> None:
    command = ("run.py", "--count", "20", "--target", "Planted", "--out", str(tmp_path), "--quiet")
    done = run(*command)
    assert done.returncode == 1, done.stdout + done.stderr
    told = {path.read_text().strip().split(" at ")[0] for path in tmp_path.glob("*.txt")}
    assert told == {"SIGABRT", "ZeroDivisionError", "exit status 3"}
    assert {path.read_bytes() for path in tmp_path.glob("*.input")} == {b"abort", b"divide", b"exit"}


def test_every_seed_is_read() -> None:
    done = run("run.py", "--seeds")
    assert done.returncode == 0, done.stdout + done.stderr


def test_kills_leave_no_half_written_file_and_a_resumed_training_is_the_same() -> None:
    done = run("kills.py", "--kills", str(KILLS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_memory_stays_flat_while_shapes_change() -> None:
    done = run("soak.py", "--iterations", str(ITERATIONS))
    assert done.returncode == 0, done.stdout + done.stderr
