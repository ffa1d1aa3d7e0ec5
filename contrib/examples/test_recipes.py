"""Each recipe's program emits its prototxt, and each recipe trains."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import schema

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
DIFFERENT_ON_PURPOSE = {"mnist": ("snapshot_prefix", "solver_mode")}  # a snapshots folder; CPU mode in Caffe
TIMEOUT = 300


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory, copy_examples: Callable[[Path], Path]) -> Path:
    """A copy of the examples."""
    return copy_examples(tmp_path_factory.mktemp("recipes") / "examples")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_mnist: Callable[..., None]) -> Path:
    """A folder with random images in the formats of MNIST and CIFAR-10."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    write_mnist(folder, rng, train=300, test=200)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        items = rng.integers(0, 256, (100, 3073), dtype=np.uint8)
        items[:, 0] %= 10
        (folder / name).write_bytes(items.tobytes())
    return folder


def run(folder: Path, data: Path, *command: str) -> str:
    """Run Python in ``folder`` and return its output."""
    env = {**os.environ, "CAFX_ENGINE": "numpy", "CAFX_DATA": str(data), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, text=True, capture_output=True, timeout=TIMEOUT, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.parametrize(
    ("folder", "program", "solver"),
    [RECIPES[0], *(pytest.param(*each, marks=pytest.mark.slow) for each in RECIPES[1:])],
)
def test_the_program_emits_the_prototxt(folder: str, program: str, solver: str, examples: Path, data: Path) -> None:
    place = examples / folder
    emitted = parsed(run(place, data, "-m", "cafx.cli", "emit", program))
    written = parsed((place / solver).read_text())
    written.net_param.CopyFrom(schema().read_text(place / written.net, "NetParameter"))
    written.ClearField("net")
    for field in DIFFERENT_ON_PURPOSE.get(folder, ()):
        emitted.ClearField(field)
        written.ClearField(field)
    assert schema().to_text(emitted) == schema().to_text(written)


def parsed(text: str) -> Any:
    """Parse a SolverParameter."""
    return schema().parse_text(text, "SolverParameter")


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "program", "solver"), RECIPES)
def test_the_prototxt_trains(folder: str, program: str, solver: str, examples: Path, data: Path) -> None:
    place = examples / folder
    run(place, data, "-m", "cafx.cli", "emit", program)  # creates the databases
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
    output = run(examples / "mnist_autoencoder", data, "showdown.py", "2", "out.png")
    assert [line.split(":")[0] for line in output.splitlines()[:3]] == ["SGD", "AdaGrad", "Nesterov"]
    assert (examples / "mnist_autoencoder" / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_embedding_is_plotted(examples: Path, data: Path) -> None:
    pytest.importorskip("matplotlib")
    place = examples / "mnist_siamese"
    run(place, data, "-m", "cafx.cli", "train", "net.py", "-q", "--set", "max_iter=1", "--set", "test_iter=1")
    output = run(place, data, "plot_embedding.py", "siamese_iter_1.caffemodel", "out.png")
    assert "nearest neighbours" in output
    assert (place / "out.png").read_bytes().startswith(b"\x89PNG")
