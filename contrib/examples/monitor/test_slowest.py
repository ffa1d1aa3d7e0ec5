"""The example monitor reports the slowest iteration of a small net."""

import time

from cafx.conformance import plugin_suite
from cafx.kernel import Solver, hookimpl, schema
from cafx_monitor_slowest import Slowest

TestSlowest = plugin_suite("monitor", "slowest")

SOLVER = """
net_param {
  layer { name: "x" type: "DummyData" top: "x"
    dummy_data_param { shape { dim: 1 } data_filler { value: 1 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 1 axis: 0 }
    loss_weight: 1 }
}
base_lr: 0.1 lr_policy: "fixed" max_iter: 4 snapshot_after_train: false
"""


class SleepsOnce:
    """Delays the third iteration."""

    @hookimpl
    def iteration_finished(self, solver):
        if solver.iter == 3:
            time.sleep(0.2)


def test_the_slowest_iteration_is_reported(capsys):
    with Solver(schema().parse_text(SOLVER, "SolverParameter"), engine="numpy") as solver:
        solver.monitors.add(SleepsOnce())  # monitors are called in the order they were added
        solver.monitors.add(Slowest())
        solver.solve()
    output = capsys.readouterr().out
    assert output.startswith("iteration 3 took longest: 0.2")
