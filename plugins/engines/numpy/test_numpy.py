"""The reference engine brings nothing of its own: every layer runs as written."""

import threadpoolctl

from cafx.conformance import plugin_suite
from cafx.kernel import Net, registry, schema
from cafx.kernel.blob import HOST
from cafx.kernel.net import make_engine

TestNumpy = plugin_suite("engine", "numpy")

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "r" type: "ReLU" bottom: "x" top: "y" }
"""


def test_every_step_is_plain() -> None:
    net = Net(schema().parse_text(NET, "NetParameter"), engine="numpy")
    assert [(step.run_by, step.note) for step in net.program.steps] == [("plain", "")] * 2
    assert net.engine.place is HOST


def test_it_is_available_everywhere_and_never_preferred() -> None:
    engine = registry().load("engine", "numpy")
    assert engine.unavailable() is None
    assert engine.priority == 0
    assert make_engine("numpy", registry()).name == "numpy"


def test_threads_limit_the_matrix_products() -> None:
    before = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
    with threadpoolctl.threadpool_limits(max(before), user_api="blas"):
        for threads in (1, max(before)):
            net = Net(schema().parse_text(NET, "NetParameter"), engine="numpy", threads=threads)
            limits = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
            assert limits == {threads}
            assert net.engine.threads == threads
