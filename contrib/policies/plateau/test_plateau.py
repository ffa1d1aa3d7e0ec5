"""plateau: the checklist of policies, and a training that resumes within a window."""

from pathlib import Path

from cafx.conformance import plugin_suite
from cafx.kernel import Solver, schema

TestPlateau = plugin_suite("policy", "plateau")

NET = """
net_param {
  layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 4 dim: 2 }
    data_filler { type: "gaussian" } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
  layer { name: "loss" type: "Reduction" bottom: "y" top: "l" reduction_param { operation: SUMSQ } loss_weight: 1 }
}
"""


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
