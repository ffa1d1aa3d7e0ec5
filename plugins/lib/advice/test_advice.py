"""Warnings about nets and solvers that run, but hardly as intended."""

from __future__ import annotations

import doctest
import logging
from collections.abc import Callable

import pytest

import cafx_lib_advice
from cafx.kernel import Net, Policy, Solver, registry, schema

NET = """
layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 1 dim: 1 } } }
layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 4 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "w" bottom: "t" top: "loss" }
"""


def test_examples_run() -> None:
    assert doctest.testmod(cafx_lib_advice) == (0, 5)


def solver_of(options: str) -> Solver:
    text = f"snapshot_after_train: false {options} net_param {{ {NET} }}"
    return Solver(schema().parse_text(text, "SolverParameter"), engine="numpy")


def told_of(options: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of a solver that trains, and of a second start of it, which adds none."""
    with solver_of(options) as solver:
        solver.solve()
        solver.solve()
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('lr_policy: "fixed" max_iter: 2', "nothing will be learned: base_lr is not set"),
        ('lr_policy: "fixed" max_iter: 2 base_lr: 0', "nothing will be learned: base_lr is 0"),
        ('lr_policy: "fixed" max_iter: 2 base_lr: -0.1', "base_lr is negative (-0.1): the loss will rise"),
        ('lr_policy: "fixed" base_lr: 0.1', "no iteration will be run: max_iter is not set"),
        ('lr_policy: "step" gamma: 0 stepsize: 1 max_iter: 4 base_lr: 1', None),
        ('lr_policy: "fixed" max_iter: 0 base_lr: 0.1', None),
        ('lr_policy: "fixed" max_iter: 2 base_lr: 0.1', None),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_told_once(
    options: str, told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    warnings = told_of(options, caplog)
    assert len(warnings) == (told is not None)
    assert all(each.startswith(str(told)) for each in warnings)


def test_stepping_needs_no_max_iter(caplog: pytest.LogCaptureFixture) -> None:
    with solver_of('lr_policy: "fixed" base_lr: 0.1') as solver:
        solver.step(1)
        assert solver.iter == 1
    assert caplog.text == ""


class Theirs(Policy):
    """rate = the value of `rates` for the iteration."""

    rates: Callable[[int], float]

    def rate(self, iteration: int) -> float:
        return type(self).rates(iteration)


@pytest.mark.parametrize(
    ("rates", "told"),
    [
        (lambda _: 0.0, "nothing will be learned: policy 'theirs' keeps the learning rate at 0"),
        (lambda i: 1 / (i - 3), "policy 'theirs': the learning rate is -0.333333 at iteration 0; check its options"),
        (lambda i: 1 / (3 - i), "policy 'theirs' fails at iteration 3: ZeroDivisionError: division by zero"),
        (lambda i: float("inf") if i == 8 else 0.1, "policy 'theirs': the learning rate is inf at iteration 8"),
        (lambda i: 0.1 if i == 8 else 0.0, None),
    ],
)
def test_the_schedule_of_a_third_party(rates: Callable[[int], float], told: str | None) -> None:
    registry().add("policy", "theirs", type("Theirs", (Theirs,), {"rates": staticmethod(rates)}))
    try:
        with solver_of('lr_policy: "theirs" max_iter: 9 base_lr: 0.1') as solver:
            warnings = list(cafx_lib_advice.of_solver(solver, 9))
    finally:
        registry().remove("policy", "theirs")
    assert len(warnings) == (told is not None)
    assert all(each.startswith(str(told)) for each in warnings)


def test_layers_of_one_name(caplog: pytest.LogCaptureFixture) -> None:
    text = NET + 'layer { name: "loss" type: "ReLU" bottom: "t" top: "r" }'
    Net(schema().parse_text(text, "NetParameter"), engine="numpy").close()
    assert "layer 'loss' (ReLU) has the name of another layer" in caplog.text
    caplog.clear()
    apart = text.replace('type: "ReLU"', 'type: "ReLU" include { phase: TRAIN }')
    Net(schema().parse_text(apart, "NetParameter"), engine="numpy").close()
    assert caplog.text == ""
