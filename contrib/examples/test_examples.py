"""The digits and MNIST examples train, and their programs and prototxts define the same net."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

EXPECTED_ACCURACY = 0.98
TIMEOUT = 600


@pytest.fixture
def examples(tmp_path: Path, copy_examples: Callable[[Path], Path]) -> Path:
    """A copy of the examples."""
    return copy_examples(tmp_path / "examples")


@pytest.fixture
def tiny_mnist(tmp_path: Path, write_mnist: Callable[..., None]) -> Path:
    """A folder with a few random images in MNIST's format."""
    folder = tmp_path / "idx"
    folder.mkdir()
    write_mnist(folder, np.random.default_rng(0), train=130, test=100)
    return folder


def cafx(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the ``cafx`` command in ``folder`` and check its exit code."""
    env = {**os.environ, "CAFX_ENGINE": "numpy"}
    env.pop("CAFX_DATA", None)
    command = [sys.executable, "-m", "cafx.cli", *arguments]
    process = subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, timeout=TIMEOUT, check=False)
    assert process.returncode == code, process.stdout + process.stderr
    return process


@pytest.mark.slow
def test_the_digits_net_reaches_the_expected_accuracy(examples: Path) -> None:
    pytest.importorskip("sklearn")
    result = json.loads(cafx(examples / "digits", "train", "net.py", "--json", "-q").stdout)
    assert result["scores"][0]["accuracy"] >= EXPECTED_ACCURACY
    assert (examples / "digits" / result["weights"]).is_file()


@pytest.mark.slow
def test_mnist_as_program_and_as_prototxt_is_the_same_net(examples: Path, tiny_mnist: Path) -> None:
    folder = examples / "mnist"
    from_program = json.loads(cafx(folder, "net", "net.py", "--data", str(tiny_mnist), "--json").stdout)
    from_prototxt = json.loads(cafx(folder, "net", "lenet_solver.prototxt", "--json").stdout)
    assert from_program == from_prototxt
    assert from_prototxt["parameters"] == 431_080


@pytest.mark.slow
def test_mnist_trains_from_prototxt(examples: Path, tiny_mnist: Path) -> None:
    folder = examples / "mnist"
    subprocess.run([sys.executable, "mnist_data.py", str(tiny_mnist)], cwd=folder, check=True, timeout=TIMEOUT)
    cafx(folder, "train", "--solver", "lenet_solver.prototxt", "-q", "--set", "max_iter=2", "--set", "test_iter=1")
    assert (folder / "lenet_iter_2.caffemodel").is_file()


def test_missing_data_is_an_error_with_a_remedy(examples: Path, tmp_path: Path) -> None:
    message = cafx(examples / "mnist", "train", "net.py", "--data", str(tmp_path), code=1).stderr
    assert message.startswith("error: ")
    assert len(message.splitlines()) == 1
    assert "--data FOLDER" in message
