"""The examples: a net.py and its prototxt are the same net, and the digits reach what they promise."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
PROMISED = 0.98
LIMIT = 600


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of the examples without what earlier runs left in them."""
    ignored = shutil.ignore_patterns("*_lmdb", "snapshots", "__pycache__")
    return Path(shutil.copytree(HERE, tmp_path / "examples", ignore=ignored))


@pytest.fixture
def tiny_mnist(tmp_path: Path) -> Path:
    """Four files of MNIST's format with a few random images."""
    folder = tmp_path / "idx"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, count in (("train", 130), ("t10k", 100)):
        images = struct.pack(">4i", 0x803, count, 28, 28) + rng.bytes(count * 28 * 28)
        labels = struct.pack(">2i", 0x801, count) + bytes(rng.integers(0, 10, count).tolist())
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return folder


def cafx(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in ``folder``."""
    env = {**os.environ, "CAFX_ENGINE": "numpy"}
    env.pop("CAFX_DATA", None)
    done = subprocess.run(
        [sys.executable, "-m", "cafx.cli", *arguments],
        cwd=folder,
        env=env,
        text=True,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_the_digits_are_learnt(examples: Path) -> None:
    pytest.importorskip("sklearn")
    told = json.loads(cafx(examples / "digits", "train", "net.py", "--json", "-q").stdout)
    assert told["scores"][0]["accuracy"] >= PROMISED
    assert (examples / "digits" / told["weights"]).is_file()


def test_mnist_in_python_and_as_prototxt_are_one_net(examples: Path, tiny_mnist: Path) -> None:
    folder = examples / "mnist"
    of_python = json.loads(cafx(folder, "net", "net.py", "--data", str(tiny_mnist), "--json").stdout)
    of_text = json.loads(cafx(folder, "net", "lenet_solver.prototxt", "--json").stdout)
    assert of_python == of_text
    assert of_text["parameters"] == 431_080


def test_mnist_trains_from_prototxt(examples: Path, tiny_mnist: Path) -> None:
    folder = examples / "mnist"
    subprocess.run([sys.executable, "mnist_data.py", str(tiny_mnist)], cwd=folder, check=True, timeout=LIMIT)
    cafx(folder, "train", "--solver", "lenet_solver.prototxt", "-q", "--set", "max_iter=2", "--set", "test_iter=1")
    assert (folder / "lenet_iter_2.caffemodel").is_file()


def test_absent_data_are_told_with_what_to_do(examples: Path, tmp_path: Path) -> None:
    told = cafx(examples / "mnist", "train", "net.py", "--data", str(tmp_path), code=1).stderr
    assert told.startswith("error: ")
    assert len(told.splitlines()) == 1
    assert "--data FOLDER" in told
