"""LARC: the checklist of solvers, and one step against the formula, blob by blob."""

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, Solver, schema

TestDialectLarc = plugin_suite("dialect", "larc")
TestUpgradeLarc = plugin_suite("upgrade", "larc")

TestLARC = plugin_suite("solver", "LARC")

NET = """
net_param {
  layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 4 dim: 3 }
    data_filler { type: "gaussian" } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" param { lr_mult: 2 } param { lr_mult: %d decay_mult: 0 }
    inner_product_param { num_output: 2 weight_filler { type: "gaussian" } bias_filler { value: 0.5 } } }
  layer { name: "loss" type: "Reduction" bottom: "y" top: "l" reduction_param { operation: SUMSQ } loss_weight: 1 }
}
base_lr: 0.5 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.1 random_seed: 3 max_iter: 1
"""


def step(settings: str, bias_mult: int = 1, engine: str = "numpy") -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Parameters and gradients before one step, and parameters after it."""
    options = schema().parse_text(NET % bias_mult + settings, "SolverParameter")
    with Solver(options, engine=engine) as solver, Solver(options, engine=engine) as twin:
        blobs = [blob.host().copy() for blob in solver.net.params["ip"]]
        twin.net.clear_param_diffs()
        twin.net.run_forward()
        twin.net.run_backward()
        gradients = [blob.host_diff().copy() for blob in twin.net.params["ip"]]
        solver.step(1)
        after = [blob.host().copy() for blob in solver.net.params["ip"]]
    return list(zip(blobs, gradients, strict=True)), after


def expected(pair: tuple[np.ndarray, np.ndarray], decay: float, eta: float, clip: bool) -> np.ndarray:
    weights, gradient = pair
    trust = eta * np.linalg.norm(weights) / (np.linalg.norm(gradient) + 0.1 * np.linalg.norm(weights))
    rate = min(0.5, trust) if clip else 0.5 * trust
    return weights - rate * (gradient + decay * weights)


@pytest.mark.parametrize("engine", ["numpy", "onednn"])
@pytest.mark.parametrize(
    ("settings", "eta", "clip"),
    [
        ("larc: true larc_eta: 0.02", 0.02, False),
        ('larc: true larc_eta: 5 larc_policy: "clip"', 5, True),
        ('larc: true larc_eta: 0.01 larc_policy: "clip"', 0.01, True),
        ("local_lr_auto: true local_gw_ratio: 0.03", 0.03, False),
    ],
)
def test_each_blob_has_its_own_rate(settings: str, eta: float, clip: bool, engine: str) -> None:
    before, after = step(settings, engine=engine)
    for pair, found, decay in zip(before, after, (0.1, 0.0), strict=True):
        np.testing.assert_allclose(found, expected(pair, decay, eta, clip), rtol=1e-5)


def test_a_frozen_blob_stays() -> None:
    before, after = step("larc: true", bias_mult=0)
    np.testing.assert_array_equal(after[1], before[1][0])


def test_other_solvers_are_refused() -> None:
    with pytest.raises(CafxError, match=r'larc works with solver type SGD only.*"Adam"'):
        Solver(schema().parse_text(NET % 1 + 'larc: true type: "Adam"', "SolverParameter"))
