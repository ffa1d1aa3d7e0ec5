"""Scores of a test: means of outputs, and what layers make of all their tops."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cafx.kernel import Layer, Net, Solver, registry, schema
from cafx.kernel.training import LOSS, Scores

NET = """
layer { name: "x" type: "DummyData" top: "x" top: "z"
  dummy_data_param { shape { dim: 2 } data_filler { value: 3 } data_filler { value: 3 } } }
layer { name: "w" type: "Scale" bottom: "x" top: "y" scale_param { axis: 0 filler { value: 1 } } loss_weight: 1 }
layer { name: "g" type: "Growing" bottom: "z" top: "g" }
"""
SOLVER = 'base_lr: 0 lr_policy: "fixed" max_iter: 1 test_iter: 3 test_interval: 1 test_compute_loss: true'


class Growing(Layer):
    """A copy with one more value each time."""

    forward_only = True
    dynamic_shape = True
    passes = 0

    def reshape(self, bottom, top):  # type: ignore[no-untyped-def]
        """As many values as there were passes."""
        top[0].reshape(self.passes)

    def forward(self, bottom, top):  # type: ignore[no-untyped-def]
        """One value more."""
        self.passes += 1
        top[0].reshape(self.passes)
        top[0].mutable_data[...] = self.passes

    def test_scores(self, batches, options):  # type: ignore[no-untyped-def]
        """How many values there were, and whether there were options."""
        return {"values": sum(len(each) for each in batches), "options": options is not None}


@pytest.fixture(autouse=True)
def _growing() -> Iterator[None]:
    registry().add("layer", "Growing", Growing)
    yield
    registry().remove("layer", "Growing")


def test_a_layer_makes_scores_of_all_its_tops() -> None:
    with Net(schema().parse_text(NET, "NetParameter")) as net:
        scores = Scores(net, None, with_loss=True)
        for _ in range(3):
            scores.add(net.forward())
        result = scores.result()
    assert {name: np.asarray(value).tolist() for name, value in result.items()} == {
        "y": [3, 3],
        LOSS: 6,
        "values": 6,
        "options": False,
    }


def test_the_solver_reports_them() -> None:
    options = schema().parse_text(SOLVER, "SolverParameter")
    options.net_param.CopyFrom(schema().parse_text(NET, "NetParameter"))
    with Solver(options) as solver:
        result = solver.test()
    assert {name: float(value.sum()) for name, value in result.items()} == {LOSS: 6, "y": 6, "values": 6, "options": 1}
