"""Training matches Caffe: parameters after every iteration, resumed runs and logged numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.conformance.golden import differs, inside
from cafx.kernel import Net, Solver, hookimpl

SNAPSHOT_AT = 5
TOLERANCE = {"SGD": (1e-4, 1e-5), "Nesterov": (1e-4, 1e-5)}
SMALL_HISTORY_TOLERANCE = (1e-3, 1e-4)
LOGGED_TOLERANCE = (1e-4, 1e-5)
Array = npt.NDArray[Any]


@pytest.fixture
def case(shared_file: Path, tmp_path: Path) -> Path:
    """A copy of a case's folder, in which solvers write files."""
    return Path(shutil.copytree(shared_file.parent, tmp_path / "case"))


@pytest.mark.slow
@pytest.mark.shared_files("golden/solvers/*/trajectory.npz")
def test_parameters_match_caffe_after_every_iteration(case: Path) -> None:
    values = read(case / "trajectory.npz")
    with inside(case), load_solver("solver.prototxt", values) as solver:
        assert not list(parameter_problems(solver, values, "it0/param/"))
        assert not list(trajectory_problems(solver, values, "it", "loss"))


@pytest.mark.slow
@pytest.mark.shared_files("golden/solvers/*_resume_*/trajectory.npz")
def test_training_resumes_from_caffe_s_solverstate(case: Path) -> None:
    values = read(case / "trajectory.npz")
    with inside(case), Solver.load("solver.prototxt", engine="numpy") as solver:
        solver.restore(str(values["resume/state"]))
        assert solver.iter == SNAPSHOT_AT
        assert not list(trajectory_problems(solver, values, "resume/it", "resume/loss"))


@pytest.mark.slow
@pytest.mark.shared_files("golden/solvers/*/cli_log.json")
def test_displayed_numbers_match_caffe_s_log(case: Path) -> None:
    expected = json.loads((case / "cli_log.json").read_text())
    with inside(case), load_solver("solver_cli.prototxt", {}) as solver:
        logged = Recorder()
        solver.monitors.add(logged)
        solver.solve()
    assert not list(log_problems(logged, expected))


class Recorder:
    """A monitor that records the numbers in Caffe's log."""

    def __init__(self) -> None:
        self.train: list[tuple[int, float]] = []
        self.lr: list[tuple[int, float]] = []
        self.losses: list[float] = []
        self.test: list[tuple[int, int, str, float]] = []

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Record losses, and the rates of displayed iterations."""
        self.losses.append(loss)
        done, every = solver.iter - 1, solver.options.display
        if every and done % every == 0:
            self.train.append((done, solver.smoothed_loss))
            self.lr.append((done, rate))

    @hookimpl
    def final_loss(self, solver: Solver, loss: float) -> None:
        """Record the loss after the last update."""
        self.train.append((solver.iter, solver.smoothed_loss))

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """Record the scores of a test."""
        if "(loss)" in scores:
            self.test.append((solver.iter, -1, "Test loss", float(scores.pop("(loss)"))))
        flat = [(name, float(x)) for name, value in scores.items() for x in np.asarray(value).reshape(-1)]
        self.test += [(solver.iter, number, name, value) for number, (name, value) in enumerate(flat)]


def read(path: Path) -> dict[str, Array]:
    """All values of a case."""
    with np.load(path) as file:
        return dict(file)


def load_solver(path: str, values: Mapping[str, Array]) -> Solver:
    """The solver with the case's initial parameters and, for MemoryData layers, its data."""
    solver = Solver.load(path, engine="numpy")
    for net in (solver.net, *solver.test_nets):
        net.copy_from("init.caffemodel")
        for layer in net.layers if "mem/data" in values else ():
            if layer.type == "MemoryData":
                layer.reset(values["mem/data"], values["mem/label"])  # type: ignore[attr-defined]
    return solver


def trajectory_problems(solver: Solver, values: Mapping[str, Array], iteration: str, losses: str) -> Iterator[str]:
    """Train one iteration per stored loss; yield a line per loss or parameter that differs."""
    recorder = Recorder()
    solver.monitors.add(recorder)
    for expected in values[losses]:
        solver.step(1)
        yield from problems(f"loss of iteration {solver.iter}", recorder.losses[-1], expected, LOGGED_TOLERANCE)
        yield from parameter_problems(solver, values, f"{iteration}{solver.iter}/param/")


def parameter_problems(solver: Solver, values: Mapping[str, Array], prefix: str) -> Iterator[str]:
    """Yield a line per parameter that differs."""
    allowed = TOLERANCE.get(solver.options.type, SMALL_HISTORY_TOLERANCE)
    stored = [key for key in values if key.startswith(prefix)]
    assert stored
    for key in stored:
        yield from problems(key, parameter(solver.net, key.removeprefix(prefix)), values[key], allowed)


def log_problems(logged: Recorder, expected: Mapping[str, list[Any]]) -> Iterator[str]:
    """Yield a line per displayed number that differs."""
    for name in ("train", "lr", "test"):
        rows = getattr(logged, name)
        if [row[:-1] for row in rows] != [tuple(row[:-1]) for row in expected[name]]:
            yield f"{name} at other iterations: {rows}"
            continue
        for row, (*_, value) in zip(rows, expected[name], strict=True):
            yield from problems(f"{name} at {row[:-1]}", row[-1], value, LOGGED_TOLERANCE)


def parameter(net: Net, key: str) -> Array:
    """The parameter ``layer/index``."""
    layer, index = key.rsplit("/", 1)
    return net.params[layer][int(index)].host()


def problems(what: str, result: Any, expected: Any, allowed: tuple[float, float]) -> Iterator[str]:
    """Yield a line if two values differ."""
    difference = differs(np.asarray(result), np.asarray(expected), *allowed)
    if difference:
        yield f"{what}: {difference}"
