"""The recipes: what each net.py emits is what stands beside it as prototxt, and each trains."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import schema

HERE = Path(__file__).parent
RECIPES = [
    ("mnist", "net.py", "lenet_solver.prototxt"),
    ("mnist_autoencoder", "net.py", "autoencoder_solver.prototxt"),
    ("mnist_siamese", "net.py", "siamese_solver.prototxt"),
    ("cifar10", "net.py", "cifar10_quick_solver.prototxt"),
    ("cifar10", "full.py", "cifar10_full_solver.prototxt"),
    ("hdf5_regression", "net.py", "solver.prototxt"),
    ("finetune", "base.py", "base_solver.prototxt"),
    ("finetune", "net.py", "new_solver.prototxt"),
]
ONLY_IN_ONE = {"mnist": ("snapshot_prefix", "solver_mode")}  # net.py makes a folder; Caffe is told to use the CPU
IMAGES = {"train": 300, "t10k": 200}
LIMIT = 300


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples without what earlier runs left in them."""
    ignored = shutil.ignore_patterns("*_lmdb", "*.h5", "*_iter_*", "*.binaryproto", "snapshots", "__pycache__")
    return Path(shutil.copytree(HERE, tmp_path_factory.mktemp("recipes") / "examples", ignore=ignored))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files of random images in the formats of MNIST and CIFAR-10, in one folder."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, count in IMAGES.items():
        images = struct.pack(">4i", 0x803, count, 28, 28) + rng.bytes(count * 28 * 28)
        labels = struct.pack(">2i", 0x801, count) + bytes(rng.integers(0, 10, count).tolist())
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    for name in ("data_batch_1.bin", "test_batch.bin"):
        items = rng.integers(0, 256, (100, 3073), dtype=np.uint8)
        items[:, 0] %= 10
        (folder / name).write_bytes(items.tobytes())
    return folder


def run(folder: Path, data: Path, *command: str) -> str:
    """Run a Python command in ``folder``; returns what it prints."""
    env = {**os.environ, "CAFX_ENGINE": "numpy", "CAFX_DATA": str(data), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, text=True, capture_output=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("folder", "program", "solver"), RECIPES)
def test_the_prototxt_is_what_the_program_emits(
    folder: str, program: str, solver: str, examples: Path, data: Path
) -> None:
    place = examples / folder
    emitted = parsed(run(place, data, "-m", "cafx.cli", "emit", program))
    written = parsed((place / solver).read_text())
    written.net_param.CopyFrom(schema().read_text(place / written.net, "NetParameter"))
    written.ClearField("net")
    for field in ONLY_IN_ONE.get(folder, ()):
        emitted.ClearField(field)
        written.ClearField(field)
    assert schema().to_text(emitted) == schema().to_text(written)


def parsed(text: str) -> Any:
    """A SolverParameter."""
    return schema().parse_text(text, "SolverParameter")


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "program", "solver"), RECIPES)
def test_the_prototxt_trains(folder: str, program: str, solver: str, examples: Path, data: Path) -> None:
    place = examples / folder
    run(place, data, "-m", "cafx.cli", "emit", program)  # makes the data
    short = ["--set", "max_iter=2", "--set", "test_iter=1", "--set", "snapshot=2"]
    run(place, data, "-m", "cafx.cli", "train", "--solver", solver, "-q", *short)
    assert list(place.glob("*_iter_2.caffemodel"))


@pytest.mark.slow
def test_the_base_net_is_fine_tuned(examples: Path, data: Path) -> None:
    place, short = examples / "finetune", ["-q", "--set", "max_iter=2", "--set", "snapshot=2"]
    run(place, data, "-m", "cafx.cli", "train", "base.py", *short)
    command = ["-m", "cafx.cli", "train", "net.py", "--weights", "base_iter_2.caffemodel", *short]
    run(place, data, *command)
    assert (place / "new_iter_2.caffemodel").is_file()


@pytest.mark.slow
def test_the_three_solvers_are_plotted(examples: Path, data: Path) -> None:
    pytest.importorskip("matplotlib")
    told = run(examples / "mnist_autoencoder", data, "showdown.py", "2", "out.png")
    assert [line.split(":")[0] for line in told.splitlines()[:3]] == ["SGD", "AdaGrad", "Nesterov"]
    assert (examples / "mnist_autoencoder" / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_embedding_is_plotted(examples: Path, data: Path) -> None:
    pytest.importorskip("matplotlib")
    place = examples / "mnist_siamese"
    run(place, data, "-m", "cafx.cli", "train", "net.py", "-q", "--set", "max_iter=1", "--set", "test_iter=1")
    told = run(place, data, "plot_embedding.py", "siamese_iter_1.caffemodel", "out.png")
    assert "nearest neighbours" in told
    assert (place / "out.png").read_bytes().startswith(b"\x89PNG")
