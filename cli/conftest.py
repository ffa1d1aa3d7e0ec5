"""A tiny net that trains without data files, and ``cafx`` in a subprocess."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len

NET = """
name: "Tiny"
layer { name: "data" type: "Input" top: "data" top: "target"
  input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 5 bias_filler { type: "constant" value: 1 } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.3 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip2" bottom: "target" top: "loss" }
"""
SOLVER = """
net: "net.prototxt"
base_lr: 0.01
lr_policy: "fixed"
momentum: 0.9
display: 10
max_iter: 40
test_iter: 2
test_interval: 20
snapshot_prefix: "tiny"
random_seed: 1
"""
LIMIT = 120
NARROW = (("FORCE_COLOR", "1"), ("COLUMNS", "80"))
"""Environment variables that make rich print for a terminal of 80 columns."""

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a net and its solver."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """This process's environment, with one thread and the numpy engine."""
    return {**os.environ, "CAFX_ENGINE": "numpy", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def start(folder: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Start ``cafx`` in that folder; the process is killed at the end of the test."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "cafx.cli", *arguments],
            cwd=folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def cafx(folder: Path, environment: dict[str, str]) -> Run:
    """Run ``cafx`` in that folder and check the exit code, which is 0 by default."""

    def run(*arguments: str, code: int = 0, env: Sequence[tuple[str, str]] = ()) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, "-m", "cafx.cli", *arguments],
            cwd=folder,
            env={**environment, **dict(env)},
            text=True,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        assert result.returncode == code, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def narrow(cafx: Run) -> Callable[..., str]:
    """Run ``cafx`` in a terminal of 80 columns; returns its output without colours, which has to fit."""

    def run(*arguments: str) -> str:
        output = re.sub(r"\x1b\[[0-9;]*m", "", cafx(*arguments, env=NARROW).stdout)
        assert max(map(cell_len, output.splitlines())) <= 80
        return output

    return run
