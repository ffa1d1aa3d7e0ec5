"""The example monitor, on a net of one layer."""

import time

from cafx.kernel import Solver, hookimpl, schema
from cafx_monitor_slowest import Slowest

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
    """Makes the third iteration slow."""

    @hookimpl
    def iteration_finished(self, solver):
        if solver.iter == 3:
            time.sleep(0.2)


def test_the_slowest_iteration_is_told(capsys):
    with Solver(schema().parse_text(SOLVER, "SolverParameter"), engine="numpy") as solver:
        solver.monitors.add(SleepsOnce())  # whoever was added first is called first
        solver.monitors.add(Slowest())
        solver.solve()
    told = capsys.readouterr().out
    assert told.startswith("iteration 3 took longest: 0.2")
