"""Summaries and notebook displays of nets, blobs and solvers."""

from __future__ import annotations

import doctest
import importlib
import itertools
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from cafx.kernel import Blob, Net, Solver, schema
from cafx_lib_show import Curve, html
from cafx_lib_show.curve import MOST
from cafx_lib_show.notebook import ROWS

NET = """
name: "small<script>"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 5 } }
layer { name: "a" type: "ReLU" bottom: "ip" top: "a" }
layer { name: "b" type: "TanH" bottom: "ip" top: "b" }
"""


def net_of(text: str) -> Net:
    return Net(schema().parse_text(text, "NetParameter"), engine="numpy")


def parsed(shown: str | None) -> ElementTree.Element:
    """The elements of a display, which is well-formed and runs no script."""
    assert shown is not None
    assert "<script" not in shown
    return ElementTree.fromstring(shown)


@pytest.mark.parametrize("name", ["curve", "notebook", "picture", "table"])
def test_examples_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"cafx_lib_show.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_a_summary_has_the_layers_as_written() -> None:
    lines = net_of(NET).summary().splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["layer", "data", "ip", "a", "b", "total"]
    assert lines[3].split() == ["ip", "InnerProduct", "data", "ip", "4×5", "20", "60"]
    assert lines[4].split() == ["a", "ReLU", "ip", "a", "4×5"], "not the name of the inserted split's top"
    assert lines[-1].split() == ["total", "20", "60"]


def test_shared_parameters_count_once() -> None:
    product = """layer { name: "NAME" type: "InnerProduct" bottom: "data" top: "NAME" param { name: "w" }
      inner_product_param { num_output: 5 } }"""
    text = NET + product.replace("NAME", "ip2") + product.replace("NAME", "ip3")
    assert net_of(text).summary().splitlines()[-1].split()[1] == str(20 + 15 + 5 + 5)


def test_names_cannot_move_the_cursor_or_leave_the_table() -> None:
    net = net_of(NET.replace('"a"', r'"\033[31m<b>"'))
    assert "\x1b" not in net.summary()
    table = parsed(net._repr_html_())
    assert "\\x1b[31m<b>" in [cell.text for cell in table.iter("td")]


def test_a_net_is_a_table_of_limited_length() -> None:
    layers = "".join(
        f'layer {{ name: "r{i}" type: "ReLU" bottom: "{f"r{i - 1}" if i else "data"}" top: "r{i}" }}'
        for i in range(ROWS)
    )
    net = net_of('layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 } } }' + layers)
    table = parsed(net._repr_html_())
    assert len(list(table.iter("tr"))) == ROWS + 2
    assert "… 1 more layers" in "".join(table.itertext())


def test_a_blob_is_a_histogram() -> None:
    blob = Blob((3, 4), name="<w>")
    assert "without values" in "".join(parsed(blob._repr_html_()).itertext())
    blob.set_data(np.arange(12).reshape(3, 4))
    text = "".join(parsed(blob._repr_html_()).itertext())
    assert text.startswith("blob '<w>', 3×4 float32, mean 5.5")
    assert "svg" in str(blob._repr_html_())


@pytest.mark.parametrize(
    ("values", "told"),
    [([math.nan, math.inf], "no finite value"), ([1, math.nan], "1 NaN or infinite"), ([2, 2], "mean 2")],
)
def test_a_histogram_survives_odd_values(values: list[float], told: str) -> None:
    blob = Blob((2,))
    blob.set_data(values)
    assert told in "".join(parsed(html(blob)).itertext())


def test_empty_blobs_and_other_things() -> None:
    assert "without values" in "".join(parsed(html(Blob((0, 3)))).itertext())
    assert html(3) is None


SOLVER = """
lr_policy: "fixed" base_lr: 0.5 max_iter: 4 snapshot_after_train: false net_param { name: "n"
layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 1 dim: 1 } } }
layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 4 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "w" bottom: "t" top: "loss" } }
"""


def test_a_solver_has_the_curve_of_its_loss() -> None:
    with Solver(schema().parse_text(SOLVER, "SolverParameter"), engine="numpy") as solver:
        assert list(parsed(solver._repr_html_()).iter("{http://www.w3.org/2000/svg}polyline")) == []
        solver.step(3)
        assert solver.curve.points() == [(0, 8.0), (1, 2.0), (2, 0.5)]
        shown = parsed(solver._repr_html_())
        assert len(list(shown.iter("{http://www.w3.org/2000/svg}polyline"))) == 1
        assert "iteration 3 of 4, net 'n'" in "".join(shown.itertext())
        assert repr(solver) == "<Solver SGD: iteration 3 of 4, net 'n'>"
        assert repr(solver.net) == "<Net 'n' (TRAIN): 3 layers, 1 parameters>"
        assert repr(solver.net.layers[2]) == "<layer 'loss' (EuclideanLoss)>"


def test_a_curve_has_few_points_however_long_the_training() -> None:
    curve = Curve()
    for iteration in range(20 * MOST):
        curve.add(iteration, float(iteration))
    points = curve.points()
    assert MOST / 2 <= len(points) <= MOST
    steps = {after[0] - before[0] for before, after in itertools.pairwise(points)}
    assert steps == {curve.every}
    assert all(iteration == loss for iteration, loss in points)
