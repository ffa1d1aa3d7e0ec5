"""The reference engine brings nothing of its own: every layer runs as written."""

from cafx.kernel import Net, registry, schema
from cafx.kernel.blob import HOST
from cafx.kernel.net import make_engine

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
