"""How a monitor stops training, alone and in one of several processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cafx.kernel import Action, Solver, hookimpl, schema

SOLVER = """
lr_policy: "fixed" base_lr: 0.5 max_iter: 5 net_param {
layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 1 dim: 1 } } }
layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 4 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "w" bottom: "t" top: "loss" } }
"""


class StopAt:
    """Stops in the second iteration."""

    def __init__(self) -> None:
        self.finished = 0

    @hookimpl
    def iteration_finished(self, solver: Any) -> None:
        solver.stopped = solver.iter == 2

    @hookimpl
    def training_finished(self) -> None:
        self.finished += 1


@pytest.fixture
def solver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Solver]:
    monkeypatch.chdir(tmp_path)
    with Solver(schema().parse_text(SOLVER, "SolverParameter"), engine="numpy") as made:
        yield made


def test_the_iteration_is_the_last_one_and_is_saved(solver: Solver, tmp_path: Path) -> None:
    monitor = StopAt()
    solver.monitors.add(monitor)
    assert not solver.solve()
    assert (solver.iter, solver.stopped, monitor.finished) == (2, True, 1)
    assert list(tmp_path.glob("*_iter_2.solverstate"))


def test_the_other_processes_are_told(solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    wishes: list[int] = []
    monkeypatch.setattr(solver.replicas, "agree", lambda wish: wishes.append(wish) or wish)
    solver.monitors.add(StopAt())
    solver.solve()
    assert wishes == [Action.NONE.value, Action.STOP.value]


def test_another_process_s_stop_counts_more_than_a_snapshot(solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver.replicas, "agree", lambda wish: max(wish, Action.STOP.value))
    solver.action = lambda: Action.SNAPSHOT
    assert not solver.solve()
    assert solver.iter == 1
