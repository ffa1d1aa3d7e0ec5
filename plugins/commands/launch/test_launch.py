"""``cafx launch``: several processes, signals, crashes and restarts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx_command_launch import settings

TestLaunch = plugin_suite("command", "launch")

MPIEXEC = Path(sys.executable).with_name("mpiexec")
HAS_MPI = MPIEXEC.exists() or shutil.which("mpiexec") is not None
needs_mpi = pytest.mark.skipif(not HAS_MPI, reason="no mpiexec: pip install mpich")
PATIENCE = 120
NET = """
layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "list.txt" batch_size: 8 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
EXTRA
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: MOST display: 0 snapshot: 20 snapshot_prefix: "small"
random_seed: 1
"""
FAILING = """
import os, sys, time
from cafx_layer_python import UserLayer

class Failing(UserLayer):
    def reshape(self, bottom, top):
        pass
    def forward(self, bottom, top):
        if os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK")) == "1":
            raise ZeroDivisionError("in one rank only")
    def backward(self, top, propagate_down, bottom):
        pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["data"], file["label"] = rng.normal(size=(64, 5)).astype("f"), rng.integers(0, 4, 64).astype("f")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/data.h5\n")
    (tmp_path / "failing.py").write_text(FAILING)
    write(tmp_path, 40)
    return tmp_path


def write(folder: Path, most: int, extra: str = "") -> None:
    (folder / "net.prototxt").write_text(NET.replace("EXTRA", extra))
    (folder / "solver.prototxt").write_text(SOLVER.replace("MOST", str(most)))


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Start the command in the folder; what still runs at the end of a test is ended."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "cafx.cli", "launch", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            output(process)
        if process.stdout:
            process.stdout.close()


def output(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=PATIENCE)[0]


def wait_for_a_snapshot(folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not any(folder.glob("small_iter_*.solverstate")):
        assert time.monotonic() < until
        time.sleep(0.05)


def ranks_in(folder: Path) -> list[int]:
    """The processes that train in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if (entry / "cwd").resolve() == folder and b"train" in words and b"launch" not in words:
                found += [int(entry.name)] if words[0].endswith(b"python") or b"python" in words[0] else []
        except OSError:
            continue
    return found


@pytest.mark.slow
@needs_mpi
def test_one_of_the_processes_reports_and_saves(start: Start, folder: Path) -> None:
    process = start("-n", "2", "train", "--solver", "solver.prototxt")
    text = output(process)
    assert process.returncode == 0, text
    assert text.count("Trained 40 iterations") == 1
    assert sorted(each.name for each in folder.glob("small*.caffemodel")) == [
        "small_iter_20.caffemodel",
        "small_iter_40.caffemodel",
    ]


@needs_mpi
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_snapshot_and_stops_all_processes(start: Start, folder: Path, number: int) -> None:
    write(folder, 10**6)
    process = start("-n", "2", "train", "--solver", "solver.prototxt", "--keep", "2")
    wait_for_a_snapshot(folder)
    process.send_signal(number)
    text = output(process)
    assert process.returncode == 0, text
    assert "Stopped after" in text
    assert f"Model: small_iter_{text.partition('Stopped after ')[2].split()[0]}.caffemodel" in text
    assert not ranks_in(folder)


@needs_mpi
@pytest.mark.slow
def test_an_exception_in_one_rank_ends_all_with_its_traceback(start: Start, folder: Path) -> None:
    write(
        folder,
        10**6,
        'layer { name: "f" type: "Python" bottom: "ip" python_param { module: "failing" layer: "Failing" } }',
    )
    process = start("-n", "2", "train", "--solver", "solver.prototxt")
    text = output(process)
    assert process.returncode
    assert "rank 1" in text
    assert "ZeroDivisionError: in one rank only" in text
    assert not ranks_in(folder)


@needs_mpi
@pytest.mark.slow
def test_a_killed_rank_ends_the_job_and_a_restart_resumes(start: Start, folder: Path) -> None:
    write(folder, 3000)
    process = start("-n", "2", "--max-restarts", "1", "train", "--solver", "solver.prototxt")
    wait_for_a_snapshot(folder)
    os.kill(ranks_in(folder)[0], signal.SIGKILL)
    text = output(process)
    assert process.returncode == 0, text
    assert "starting again (1 of 1)" in text
    assert "Trained from iteration" in text
    assert (folder / "small_iter_3000.caffemodel").exists()


@needs_mpi
@pytest.mark.slow
def test_processes_that_disagree_are_told_the_difference(start: Start, folder: Path) -> None:
    script = folder / "script.py"
    script.write_text(
        "from mpi4py import MPI\n"
        "from cafx.kernel import Solver, schema\n"
        "options = schema().read_text('solver.prototxt', 'SolverParameter')\n"
        "options.momentum = MPI.COMM_WORLD.Get_rank() / 2\n"
        "try:\n    Solver(options, 'solver.prototxt', engine='numpy')\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    text = output(start("-n", "2", "script.py"))
    told = "processes disagree: solver option 'momentum': got 0.5 (rank 1), expected"
    assert text.count(told) == 2, text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["test", "net.prototxt"], "only training runs in several processes: got test"),
        (["--mpiexec", "no-such-launcher", "train", "x.py"], "no MPI launcher 'no-such-launcher' is found"),
        (["-n", "0", "train"], "0 is not in the range"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_started_is_told(start: Start, arguments: list[str], told: str) -> None:
    process = start(*arguments)
    text = output(process)
    assert told in text
    assert "Traceback" not in text
    assert process.returncode in (1, 2)


def test_each_process_has_its_share_of_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert settings({}, 2) == {"CAFX_COMMUNICATOR": "mpi", "OMP_NUM_THREADS": "3"}
    assert settings({"OMP_NUM_THREADS": "1", "X": "y"}, 9) == {
        "CAFX_COMMUNICATOR": "mpi",
        "OMP_NUM_THREADS": "1",
        "X": "y",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"), [(["--nope"], "No such option: --nope."), (["-max_iter", "3"], "--set max_iter=VALUE")]
)
def test_a_wrong_option_of_train_is_told_once(folder: Path, words: list[str], told: str) -> None:
    command = [sys.executable, "-m", "cafx.cli", "launch", "-n", "2", "train", *words, "net.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("rror: ") == 1
    assert told in done.stderr
