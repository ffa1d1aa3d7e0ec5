"""plateau: the rate falls when the loss has had no new minimum for a window."""

from pathlib import Path

import pytest

from cafx.kernel import CafxError, Solver, schema
from cafx_policy_plateau import Plateau

NET = """
net_param {
  layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 4 dim: 2 }
    data_filler { type: "gaussian" } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
  layer { name: "loss" type: "Reduction" bottom: "y" top: "l" reduction_param { operation: SUMSQ } loss_weight: 1 }
}
"""


def policy(*windows: int) -> Plateau:
    return Plateau(schema()["SolverParameter"](base_lr=1.0, gamma=0.5, plateau_winsize=windows))


def rates(plateau: Plateau, losses: list[float]) -> list[float]:
    """The rate of each iteration."""
    found = []
    for iteration, loss in enumerate(losses):
        plateau.observe(loss, iteration)
        found.append(plateau.rate(iteration))
    return found


def test_the_rate_falls_after_a_window_without_minimum() -> None:
    assert rates(policy(2, 3), [5, 4, 4, 4, 3, 4, 4, 4, 4, 4, 4]) == [
        1,
        1,
        1,
        0.5,
        0.5,
        0.5,
        0.5,
        0.25,
        0.25,
        0.25,
        0.25,
    ]


@pytest.mark.parametrize("windows", [(), (0,)])
def test_missing_windows_are_refused(windows: tuple[int, ...]) -> None:
    with pytest.raises(CafxError, match="plateau_winsize"):
        policy(*windows)


def test_training_resumes_where_it_was(tmp_path: Path) -> None:
    text = f'lr_policy: "plateau" base_lr: 0.0 gamma: 0.5 plateau_winsize: 2 plateau_winsize: 3 max_iter: 8 {NET}'
    options = schema().parse_text(text, "SolverParameter")
    options.random_seed, options.snapshot_prefix = 1, str(tmp_path / "s")
    with Solver(options) as whole, Solver(options) as first, Solver(options) as second:
        whole.step(8)
        first.step(4)
        _, state = first.snapshot()
        second.restore(state)
        second.step(4)
        assert second.policy.state() == whole.policy.state()
        assert whole.policy.steps == 2
