"""The kernel without the plugins that advise and present."""

from __future__ import annotations

from pathlib import Path

import pytest

from cafx.kernel import Blob, CafxError, Net, Registry, Solver, schema
from cafx.kernel.registry import installed, using_registry

NEEDED = {"Input", "InnerProduct", "constant", "numpy", "fixed", "SGD", "split", "hints"}
NET = """name: "n" layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" loss_weight: 1 inner_product_param { num_output: 1 } }"""


@pytest.fixture
def plugins() -> Registry:
    return Registry([point for point in installed() if point.name in NEEDED])


def test_nothing_is_shown_and_a_summary_is_an_error(plugins: Registry) -> None:
    net = Net(schema(plugins).parse_text(NET, "NetParameter"), engine="numpy", plugins=plugins)
    assert net._repr_html_() is None
    assert repr(net) == "<Net 'n' (TEST): 2 layers, 4 parameters>"
    with pytest.raises(CafxError, match="unknown role 'show'"):
        net.summary()
    with using_registry(plugins):
        assert Blob((2,))._repr_html_() is None


def test_a_solver_trains_without_advice(plugins: Registry, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    text = f'lr_policy: "fixed" snapshot_prefix: "{tmp_path}/n" net_param {{ {NET} }}'
    with Solver(schema(plugins).parse_text(text, "SolverParameter"), engine="numpy", plugins=plugins) as solver:
        solver.step(2)
        assert (solver.iter, solver.curve) == (2, None)
        assert solver._repr_html_() is None
    assert caplog.text == ""
