"""A resumed run equals an uninterrupted one bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from cafx.conformance.golden import inside
from cafx.kernel import CafxError, Solver, hookimpl, registry
from cafx.kernel.training import Action, plain_history
from cafx_lib_feed.datum import datum_bytes

IMAGES, SIZE, CROP, BATCH, CLASSES = 23, 10, 8, 4, 3
LENGTH, PAUSE, KILLED_LENGTH = 100, 37, 60
SEED, OTHER_SEED = 5, 99
PATIENCE = 60.0
Array = npt.NDArray[Any]

NET = """
layer { name: "images" type: "Data" top: "images" top: "label"
  include { phase: TRAIN }
  transform_param { crop_size: 8 mirror: true scale: 0.0078125 }
  data_param { source: "images_lmdb" batch_size: 4 backend: LMDB shuffle: true rand_skip: 7 } }
layer { name: "images" type: "Data" top: "images" top: "label"
  include { phase: TEST }
  transform_param { crop_size: 8 scale: 0.0078125 }
  data_param { source: "images_lmdb" batch_size: 4 backend: LMDB } }
layer { name: "rows" type: "HDF5Data" top: "rows"
  hdf5_data_param { source: "rows.txt" batch_size: 4 shuffle: true } }
layer { name: "noise" type: "DummyData" top: "noise" dummy_data_param { shape { dim: 4 dim: 6 }
  data_filler { type: "gaussian" std: 0.1 } } }
layer { name: "conv" type: "Convolution" bottom: "images" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 } }
layer { name: "flat" type: "InnerProduct" bottom: "pool" top: "flat"
  inner_product_param { num_output: 6 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "flat" bottom: "noise" bottom: "rows" top: "sum" }
layer { name: "drop" type: "Dropout" bottom: "sum" top: "sum" }
layer { name: "score" type: "InnerProduct" bottom: "sum" top: "score"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" test_iter: 3 test_interval: 10 base_lr: 0.02 lr_policy: "inv" gamma: 0.01 power: 0.75
type: "{type}" {momentum} weight_decay: 0.001 max_iter: {length} display: 5 average_loss: 7 iter_size: 2
clip_gradients: 20 snapshot_prefix: "run" snapshot_format: {format} random_seed: {seed} {more}
"""
KINDS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "Adam": "momentum: 0.9",
    "AdaDelta": "momentum: 0.9",
    "AdaGrad": "",
    "RMSProp": "",
}


class Recorder:
    """A monitor that records every loss, rate and score."""

    def __init__(self) -> None:
        self.losses: dict[int, tuple[float, float, float]] = {}
        self.scores: dict[int, list[float]] = {}

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Record loss, smoothed loss and rate."""
        self.losses[solver.iter] = (loss, solver.smoothed_loss, rate)

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Record the scores of a test."""
        self.scores[solver.iter] = [float(np.sum(value)) for value in scores.values()]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with data and a net with every source of randomness."""
    rng = np.random.default_rng(3)
    with registry().load("database", "LMDB").create(tmp_path / "images_lmdb") as writer:
        pictures = rng.integers(0, 256, (IMAGES, 3, SIZE, SIZE), dtype=np.uint8)
        writer.put([(b"%08d" % i, datum_bytes(each, i % CLASSES)) for i, each in enumerate(pictures)])
    for index, count in enumerate((9, 6)):
        with h5py.File(tmp_path / f"rows{index}.h5", "w") as file:
            file["rows"] = rng.standard_normal((count, 6)).astype(np.float32)
    (tmp_path / "rows.txt").write_text("rows0.h5\nrows1.h5\n")
    (tmp_path / "net.prototxt").write_text(NET)
    with inside(tmp_path):
        yield tmp_path


def write_solver(
    seed: int, kind: str = "SGD", file_format: str = "BINARYPROTO", length: int = LENGTH, more: str = ""
) -> str:
    """Write solver.prototxt and return its name."""
    text = SOLVER.format(type=kind, momentum=KINDS[kind], format=file_format, seed=seed, length=length, more=more)
    Path("solver.prototxt").write_text(text)
    return "solver.prototxt"


def recorded(path: str) -> tuple[Solver, Recorder]:
    """A solver on the NumPy engine and a recorder of what it reports."""
    solver, recorder = Solver.load(path, engine="numpy"), Recorder()
    solver.monitors.add(recorder)
    return solver, recorder


def values(solver: Solver) -> list[Array]:
    """All parameters and the solver's history."""
    parameters = [blob.host() for layer in solver.net.layers for blob in layer.blobs]
    return parameters + plain_history(solver.update)


def assert_same(one: list[Array], two: list[Array]) -> None:
    """Assert that arrays are equal bit for bit."""
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.view(np.uint32), second.view(np.uint32))


@pytest.mark.parametrize("file_format", ["BINARYPROTO", pytest.param("HDF5", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "kind", [each if each == "SGD" else pytest.param(each, marks=pytest.mark.slow) for each in KINDS]
)
def test_a_resumed_run_equals_an_uninterrupted_one(folder: Path, kind: str, file_format: str) -> None:
    uninterrupted, expected = recorded(write_solver(SEED, kind, file_format))
    with uninterrupted:
        uninterrupted.solve()
        final = values(uninterrupted)
    broken, before = recorded("solver.prototxt")
    with broken:
        broken.step(PAUSE)
        _, state = broken.snapshot()
    resumed, after = recorded(write_solver(OTHER_SEED, kind, file_format))
    with resumed:
        resumed.solve(resume=state)
        resumed_values = values(resumed)
    assert_same(resumed_values, final)
    assert before.losses | after.losses == expected.losses
    assert before.scores | after.scores == expected.scores
    assert len(expected.scores) == LENGTH // 10 + 1


@pytest.mark.slow
def test_resuming_twice_changes_nothing(folder: Path) -> None:
    uninterrupted, expected = recorded(write_solver(SEED))
    with uninterrupted:
        uninterrupted.solve()
        final = values(uninterrupted)
    state: Path | None = None
    reported: dict[int, Any] = {}
    for stop in (10, 11, 60):
        solver, recorder = recorded(write_solver(OTHER_SEED if state else SEED))
        with solver:
            if state:
                solver.restore(state)
            solver.step(stop - solver.iter)
            _, state = solver.snapshot()
        reported |= recorder.losses
    last, recorder = recorded("solver.prototxt")
    with last:
        last.solve(resume=state)
        assert_same(values(last), final)
    assert reported | recorder.losses == expected.losses


@pytest.mark.slow
def test_stopping_during_a_test_changes_nothing(folder: Path) -> None:
    uninterrupted, expected = recorded(write_solver(SEED))
    with uninterrupted:
        uninterrupted.solve()
    broken, before = recorded("solver.prototxt")
    with broken:
        actions = iter([Action.NONE] * (3 + 10 + 1) + [Action.STOP])  # the second batch of the second test
        broken.action = lambda: next(actions)
        assert not broken.solve()
        assert broken.iter == 10
        assert 10 not in before.scores
        state = Path("run_iter_10.solverstate")
        assert state.is_file()
    resumed, after = recorded(write_solver(OTHER_SEED))
    with resumed:
        resumed.solve(resume=state)
    assert before.losses | after.losses == expected.losses
    assert before.scores | after.scores == expected.scores


@pytest.mark.slow
def test_a_snapshot_requested_during_a_test_is_saved_after_the_next_iteration(folder: Path) -> None:
    solver, _ = recorded(write_solver(SEED))
    with solver:
        actions = iter([Action.SNAPSHOT] + [Action.NONE] * 20)
        solver.action = lambda: next(actions)
        solver.step(2)
    assert [path.suffix for path in sorted(folder.glob("run_iter_1.*"))] == [".caffemodel", ".solverstate"]
    assert len(list(folder.glob("run_iter_*"))) == 2


PROGRAM = """
import sys
from cafx.kernel import Solver
solver = Solver.load("solver.prototxt", engine="numpy")
solver.solve(resume=sys.argv[1] if len(sys.argv) > 1 else None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["BINARYPROTO", "HDF5"])
def test_the_newest_snapshot_is_usable_after_a_kill_at_any_moment(folder: Path, file_format: str) -> None:
    """The process saves a snapshot per iteration and is killed at random moments, repeatedly."""
    uninterrupted, _ = recorded(write_solver(SEED, "Adam", file_format, KILLED_LENGTH))
    with uninterrupted:
        uninterrupted.step(KILLED_LENGTH)
        final = values(uninterrupted)
    for path in folder.glob("run_iter_*"):
        path.unlink()
    moments = random.Random(1)
    state: Path | None = None
    kills = 0
    while state is None or iteration(state) < KILLED_LENGTH:
        write_solver(OTHER_SEED if state else SEED, "Adam", file_format, KILLED_LENGTH, "snapshot: 1")
        command = [sys.executable, "-c", PROGRAM, *([str(state)] if state else [])]
        with subprocess.Popen(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
            before = newest(folder)
            wait_for(lambda before=before: newest(folder) != before or process.poll() is not None)
            time.sleep(moments.uniform(0, 0.3))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
        state = newest(folder)
        assert state is not None
        with Solver.load("solver.prototxt", engine="numpy") as solver:
            solver.restore(state)
            assert solver.iter == iteration(state)
            resumed_values = values(solver)
    assert kills > 1
    assert_same(resumed_values, final)


def newest(folder: Path) -> Path | None:
    """The newest solverstate in a folder."""
    return max(folder.glob("run_iter_*.solverstate*"), key=iteration, default=None)


def iteration(state: Path) -> int:
    """The iteration in a solverstate's name."""
    return int(state.name.split("_")[2].split(".")[0])


def wait_for(condition: Any) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.slow
def test_a_solverstate_of_another_net_is_refused(folder: Path) -> None:
    solver, _ = recorded(write_solver(SEED))
    with solver:
        solver.step(1)
        _, state = solver.snapshot()
    Path("net.prototxt").write_text(NET.replace('name: "flat"', 'name: "level"'))
    with Solver.load("solver.prototxt", engine="numpy") as other, pytest.raises(CafxError, match="another net"):
        other.restore(state)
    Path("net.prototxt").write_text(NET.replace("num_output: 5", "num_output: 7"))
    with Solver.load("solver.prototxt", engine="numpy") as other, pytest.raises(CafxError, match="another net"):
        other.restore(state)
    Path("net.prototxt").write_text(NET)
    write_solver(SEED, "Adam")
    with Solver.load("solver.prototxt", engine="numpy") as other, pytest.raises(CafxError, match="net or solver"):
        other.restore(state)


@pytest.mark.slow
def test_another_number_of_threads_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_solver(SEED)
    with Solver.load("solver.prototxt", engine="numpy", threads=1) as solver:
        solver.step()
        state = solver.snapshot()[1]
    for threads, told in ((1, 0), (2, 1)):
        caplog.clear()
        with Solver.load("solver.prototxt", engine="numpy", threads=threads) as solver:
            solver.restore(state)
        messages = [record.getMessage() for record in caplog.records if "bit for bit" in record.getMessage()]
        assert len(messages) == told
    assert messages[0].endswith("was written with threads 1, not threads 2: the training goes on, but not bit for bit")
