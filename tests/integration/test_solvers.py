"""Training as Caffe does it: parameters after every iteration, resumed runs, and logged numbers."""

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
    """A copy of a case's folder: solvers write beside their files."""
    return Path(shutil.copytree(shared_file.parent, tmp_path / "case"))


@pytest.mark.shared_files("golden/solvers/*/trajectory.npz")
def test_every_iteration_leaves_the_parameters_caffe_leaves(case: Path) -> None:
    values = read(case / "trajectory.npz")
    with inside(case), started("solver.prototxt", values) as solver:
        assert not list(parameter_problems(solver, values, "it0/param/"))
        assert not list(trajectory_problems(solver, values, "it", "loss"))


@pytest.mark.shared_files("golden/solvers/*_resume_*/trajectory.npz")
def test_training_goes_on_from_a_state_caffe_wrote(case: Path) -> None:
    values = read(case / "trajectory.npz")
    with inside(case), Solver.load("solver.prototxt", engine="numpy") as solver:
        solver.restore(str(values["resume/state"]))
        assert solver.iter == SNAPSHOT_AT
        assert not list(trajectory_problems(solver, values, "resume/it", "resume/loss"))


@pytest.mark.shared_files("golden/solvers/*/cli_log.json")
def test_what_is_displayed_is_what_caffe_logs(case: Path) -> None:
    expected = json.loads((case / "cli_log.json").read_text())
    with inside(case), started("solver_cli.prototxt", {}) as solver:
        logged = Logged()
        solver.monitors.add(logged)
        solver.solve()
    assert not list(log_problems(logged, expected))


class Logged:
    """A monitor that keeps what Caffe's log would say."""

    def __init__(self) -> None:
        self.train: list[tuple[int, float]] = []
        self.lr: list[tuple[int, float]] = []
        self.losses: list[float] = []
        self.test: list[tuple[int, int, str, float]] = []

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Losses and rates of the iterations displayed."""
        self.losses.append(loss)
        done, every = solver.iter - 1, solver.options.display
        if every and done % every == 0:
            self.train.append((done, solver.smoothed_loss))
            self.lr.append((done, rate))

    @hookimpl
    def final_loss(self, solver: Solver, loss: float) -> None:
        """The loss after the last update."""
        self.train.append((solver.iter, solver.smoothed_loss))

    @hookimpl
    def test_finished(self, solver: Solver, index: int, scores: dict[str, Any]) -> None:
        """The scores of a test."""
        if "(loss)" in scores:
            self.test.append((solver.iter, -1, "Test loss", float(scores.pop("(loss)"))))
        flat = [(name, float(x)) for name, value in scores.items() for x in np.asarray(value).reshape(-1)]
        self.test += [(solver.iter, number, name, value) for number, (name, value) in enumerate(flat)]


def read(path: Path) -> dict[str, Array]:
    """Every value of a case."""
    with np.load(path) as held:
        return dict(held)


def started(path: str, values: Mapping[str, Array]) -> Solver:
    """The solver, at the case's first parameters and with its data in memory, if it has such."""
    solver = Solver.load(path, engine="numpy")
    for net in (solver.net, *solver.test_nets):
        net.copy_from("init.caffemodel")
        for layer in net.layers if "mem/data" in values else ():
            if layer.type == "MemoryData":
                layer.reset(values["mem/data"], values["mem/label"])  # type: ignore[attr-defined]
    return solver


def trajectory_problems(solver: Solver, values: Mapping[str, Array], iteration: str, losses: str) -> Iterator[str]:
    """Train as many iterations as there are losses, and tell where parameters or losses differ."""
    seen = Logged()
    solver.monitors.add(seen)
    for expected in values[losses]:
        solver.step(1)
        yield from problems(f"loss of iteration {solver.iter}", seen.losses[-1], expected, LOGGED_TOLERANCE)
        yield from parameter_problems(solver, values, f"{iteration}{solver.iter}/param/")


def parameter_problems(solver: Solver, values: Mapping[str, Array], prefix: str) -> Iterator[str]:
    """Where a parameter differs."""
    allowed = TOLERANCE.get(solver.options.type, SMALL_HISTORY_TOLERANCE)
    stored = [key for key in values if key.startswith(prefix)]
    assert stored
    for key in stored:
        yield from problems(key, parameter(solver.net, key.removeprefix(prefix)), values[key], allowed)


def log_problems(logged: Logged, expected: Mapping[str, list[Any]]) -> Iterator[str]:
    """Where the numbers displayed differ."""
    for name in ("train", "lr", "test"):
        found = getattr(logged, name)
        if [row[:-1] for row in found] != [tuple(row[:-1]) for row in expected[name]]:
            yield f"{name} at other places: {found}"
            continue
        for mine, theirs in zip(found, expected[name], strict=True):
            yield from problems(f"{name} at {mine[:-1]}", mine[-1], theirs[-1], LOGGED_TOLERANCE)


def parameter(net: Net, key: str) -> Array:
    """The parameter ``layer/index``."""
    layer, index = key.rsplit("/", 1)
    return net.params[layer][int(index)].host()


def problems(what: str, found: Any, expected: Any, allowed: tuple[float, float]) -> Iterator[str]:
    """A line where a value differs."""
    difference = differs(np.asarray(found), np.asarray(expected), *allowed)
    if difference:
        yield f"{what}: {difference}"
