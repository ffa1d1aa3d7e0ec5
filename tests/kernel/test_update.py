"""Updates on several threads equal those on one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cafx.conformance.nets import solver_of_text
from cafx.kernel import Solver
from cafx.kernel.training.update import WORTH_THREADS

NET = """
layer { name: "data" type: "Input" top: "data" top: "target"
  input_param { shape { dim: 3 dim: 301 } shape { dim: 3 dim: 7 } } }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "one"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 457 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "two" type: "InnerProduct" bottom: "one" top: "two" param { lr_mult: 0.5 } param { lr_mult: 0 }
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "two" bottom: "target" top: "loss" }
"""
RULES = {
    "SGD": "momentum: 0.9 regularization_type: 'L1'",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "delta: 1e-6",
    "RMSProp": "rms_decay: 0.9 delta: 1e-6",
    "AdaDelta": "momentum: 0.9 delta: 1e-6",
    "Adam": "momentum: 0.9 momentum2: 0.99",
}
MORE = ("", "regularization_type: 'L1'", "iter_size: 2", "clip_gradients: 0.1", "weight_decay: 0")


def fed_solver(rule: str, more: str, threads: int) -> Solver:
    common = f"type: '{rule}' base_lr: 0.01 lr_policy: 'inv' gamma: 0.1 power: 0.5 max_iter: 9 random_seed: 1 "
    text = f"{common} {RULES[rule]} "
    text += "" if "regularization" in more and "regularization" in text else more
    text += "" if "weight_decay" in text else " weight_decay: 0.01"
    solver = solver_of_text(NET, text, engine="numpy", threads=threads)
    rng = np.random.default_rng(0)
    for name in ("data", "target"):
        blob = solver.net.blobs[name]
        blob.set_data(rng.standard_normal(blob.shape, np.float32))
    return solver


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("rule", RULES)
def test_updates_do_not_depend_on_the_number_of_threads(rule: str, more: str) -> None:
    fast, single = fed_solver(rule, more, 3), fed_solver(rule, more, 1)
    assert fast.update.arena.size > WORTH_THREADS
    for _ in range(3):
        assert fast.step() == single.step()
    np.testing.assert_array_equal(fast.update.arena.data, single.update.arena.data)
    for one, two in zip(fast.update.history, single.update.history, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("rule", ["Adam", "AdaDelta"])
def test_a_resumed_run_equals_an_uninterrupted_one(rule: str, tmp_path: Path) -> None:
    more = f"snapshot_prefix: '{tmp_path}/s'"
    first, second = fed_solver(rule, more, 3), fed_solver(rule, more, 3)
    first.step(2)
    _, state = first.snapshot()
    second.restore(state)
    first.step(2)
    second.step(2)
    np.testing.assert_array_equal(second.update.arena.data, first.update.arena.data)


def test_an_error_in_a_rule_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    solver = fed_solver("Adam", "", 2)

    def fail(*_: object) -> None:
        raise ArithmeticError("no")

    monkeypatch.setattr(solver.update.rule, "update", fail)
    with pytest.raises(ArithmeticError, match="no"):
        solver.step()
