"""``cafx test``, ``time``, ``net`` and ``emit``."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cafx.cli import bounds
from cafx.cli.bounds import Work, work_of
from cafx.cli.lazy import Settings
from cafx.cli.options import EngineChoice, engine_options
from cafx.kernel import Net, schema

Run = Callable[..., subprocess.CompletedProcess[str]]

WHOLE_NET = """
from cafx.dsl import NetSpec, layers as L
n = NetSpec("Bare")
n.data = L.Input(shape=dict(dim=[1, 2]))
n.y = L.ReLU(n.data)
"""


@pytest.fixture
def weights(cafx: Run) -> str:
    cafx("train", "--solver", "solver.prototxt", "-q")
    return "tiny_iter_40.caffemodel"


@pytest.mark.slow
def test_scores_are_printed_as_in_caffe(cafx: Run, weights: str) -> None:
    lines = cafx("test", "net.prototxt", "--weights", weights, "--iterations", "2").stdout.splitlines()
    assert re.fullmatch(r"Batch 0, loss = \S+", lines[0])
    assert re.fullmatch(r"Batch 1, loss = \S+", lines[1])
    assert re.fullmatch(r"Loss: \S+", lines[2])
    assert re.fullmatch(r"loss = (\S+) \(\* 1 = \1 loss\)", lines[3])


@pytest.mark.slow
def test_scores_as_json(cafx: Run, weights: str) -> None:
    output = json.loads(cafx("test", "solver.prototxt", "-w", weights, "-n", "3", "--json").stdout)
    assert output["iterations"] == 3
    assert output["scores"]["loss"] == [pytest.approx(output["loss"])]


@pytest.mark.slow
def test_scoring_needs_matching_weights(cafx: Run, folder: Path) -> None:
    cafx("test", "net.prototxt", code=2)
    (folder / "page.caffemodel").write_text("<!DOCTYPE html><html>Not found</html>")
    assert "a web page" in cafx("test", "net.prototxt", "-w", "page.caffemodel", code=1).stderr


@pytest.mark.slow
def test_times_of_every_layer(cafx: Run) -> None:
    output = json.loads(cafx("time", "net.prototxt", "-n", "3", "--json").stdout)
    assert [row["name"] for row in output["rows"]] == ["data", "ip1", "relu1", "ip2", "loss"]
    assert output["forward"] >= sum(row["forward"] for row in output["rows"])
    assert output["backward"] > 0
    assert "total" in cafx("time", "net.prototxt", "-n", "1").stdout


@pytest.mark.slow
def test_layers_and_times_fit_in_sixty_columns(cafx: Run) -> None:
    output = cafx("time", "net.prototxt", "-n", "1", env=[("FORCE_COLOR", "1"), ("COLUMNS", "60")]).stdout
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
    assert any(re.fullmatch(r" *ip1 +\S+ +[\d.]+ +[\d.]+ +[\d.]+% *", line) for line in lines)
    assert max(map(len, lines)) <= 60


@pytest.mark.slow
def test_operations_per_second_and_their_fraction_of_the_peak(cafx: Run) -> None:
    output = json.loads(cafx("time", "net.prototxt", "-n", "1", "--json").stdout)
    rows = {row["name"]: row for row in output["rows"]}
    products = rows["ip1"]["gflop"] * 1e9 / 2
    assert products == pytest.approx(2 * 4 * 3 * 5)  # four rows of 3 × 5; forward pass and parameter gradient
    assert rows["ip2"]["gflop"] * 1e9 / 2 == pytest.approx(3 * 4 * 5 * 2)  # and input gradient
    assert rows["ip1"]["of_peak"] == pytest.approx(rows["ip1"]["gflops"] / output["peak"])
    assert rows["loss"]["gflops"] is None
    assert {row["reorders"] for row in output["rows"]} == {0}
    ip1 = 2 * 4 * (4 * 3 + 4 * 5 + 5 * 3 + 5)  # bottom, top, weights and bias; forward pass and parameter gradient
    assert rows["ip1"]["gbyte"] * 1e9 == pytest.approx(ip1)
    least = max(rows["ip1"]["gflop"] / output["peak"], rows["ip1"]["gbyte"] / output["bandwidth"])
    spent = (rows["ip1"]["forward"] + rows["ip1"]["backward"]) / 1e3
    assert rows["ip1"]["of_bound"] == pytest.approx(least / spent)
    assert rows["loss"]["bound"] == "memory"
    assert (rows["data"]["bound"], rows["data"]["gbyte"]) == ("", 0)


def test_what_a_fused_step_hands_on_inside_does_not_count_as_bytes() -> None:
    text = """
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "a" type: "Power" bottom: "x" top: "a" }
        layer { name: "b" type: "Power" bottom: "a" top: "b" }"""
    steps = Net(schema().parse_text(text, "NetParameter"), engine="numpy").program.steps
    _, first, second = (each.layers[0] for each in steps)
    blob = 2 * 3 * 4
    assert work_of([first], backward=True) == work_of([second], backward=True) == Work(0, 2 * blob)
    assert work_of([first, second], backward=True) == Work(0, 2 * blob)
    assert doctest.testmod(bounds).failed == 0


VARYING = """
layer { name: "data" type: "DummyData" top: "x" top: "y" top: "s" dummy_data_param {
  shape { dim: 64 dim: 3 } shape { dim: 64 dim: 2 } shape { dim: 64 dim: 1 } data_filler { type: "uniform" } } }
layer { name: "kept" type: "Threshold" bottom: "s" top: "kept" threshold_param { threshold: 0.5 } }
layer { name: "filter" type: "Filter" bottom: "x" bottom: "y" bottom: "kept" top: "fx" top: "fy" }
layer { name: "ip" type: "InnerProduct" bottom: "fx" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "fy" top: "loss" }
"""


@pytest.mark.slow
def test_a_net_whose_shapes_change_is_timed_with_what_the_changes_cost(cafx: Run, folder: Path) -> None:
    (folder / "varying.prototxt").write_text(VARYING)
    output = json.loads(cafx("time", "varying.prototxt", "-n", "6", "--warmup", "0", "--json").stdout)
    rows = {row["name"]: row for row in output["rows"]}
    assert list(rows) == ["data", "kept", "filter", "ip", "loss"]
    assert all(row["forward"] > 0 for row in rows.values())
    assert rows["ip"]["backward"] > 0
    spent = sum(row["forward"] for row in rows.values()) + output["compiling"]
    assert 0 < output["compiling"] < spent <= output["forward"]
    items = rows["ip"]["gflop"] * 1e9 / 2 / (2 * 3 * 2)  # forward pass and parameter gradient
    assert 16 < items < 48, "the mean number of items that the filter kept"
    table = cafx("time", "varying.prototxt", "-n", "2").stdout
    assert re.search(r"\(compilation\) +[\d.]+ +- ", table)


@pytest.mark.slow
def test_a_net_of_fixed_shapes_is_not_compiled_again(cafx: Run) -> None:
    assert json.loads(cafx("time", "net.prototxt", "-n", "2", "--json").stdout)["compiling"] == 0
    assert "compilation" not in cafx("time", "net.prototxt", "-n", "1").stdout


@pytest.mark.slow
def test_no_backward_is_timed_in_test_phase(cafx: Run) -> None:
    assert json.loads(cafx("time", "net.prototxt", "-n", "1", "--phase", "test", "--json").stdout)["backward"] == 0


@pytest.mark.slow
def test_the_program_of_a_net(cafx: Run) -> None:
    output = json.loads(cafx("net", "net.prototxt", "--phase", "TRAIN", "--json").stdout)
    assert output["parameters"] == 32
    assert output["memory"]["parameters"] == 4 * 32
    row = output["layers"][1]
    assert (row["name"], row["type"], row["place"]) == ("ip1", "InnerProduct", "host")
    assert row["tops"] == [{"name": "ip1", "shape": [4, 5]}]
    assert "InnerProduct" in cafx("net", "solver.prototxt").stdout


@pytest.mark.slow
def test_eighty_columns_break_no_name_of_a_net(narrow: Callable[..., str]) -> None:
    output = narrow("net", "net.prototxt", "--phase", "TRAIN")
    for word in ("InnerProduct ", "EuclideanLoss ", " ip1 4×5 ", "parameters"):
        assert word in output


@pytest.mark.slow
def test_stages_and_levels_select_layers(cafx: Run, folder: Path) -> None:
    (folder / "rules.prototxt").write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 } } }\n'
        'layer { name: "a" type: "ReLU" bottom: "data" top: "a" include { stage: "extra" } }\n'
        'layer { name: "b" type: "ReLU" bottom: "data" top: "b" include { min_level: 2 } }\n'
    )

    def names(*arguments: str) -> list[str]:
        output = json.loads(cafx("net", "rules.prototxt", "--json", *arguments).stdout)
        return [row["name"] for row in output["layers"]]

    assert names() == ["data"]
    assert names("--stage", "extra") == ["data", "a"]
    assert names("--level", "2") == ["data", "b"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("bottm", "bottom", "did you mean 'bottom'"),
        ('"RelU"', '"ReLU"', "unknown layer type 'RelU'"),
        ("num_output: x", "num_output: 5", "net.prototxt:6"),
        ('bottom: "ip0"', 'bottom: "ip1"', "unknown bottom blob 'ip0'"),
    ],
)
def test_errors_in_nets_name_file_and_line(cafx: Run, folder: Path, wrong: str, right: str, message: str) -> None:
    path = folder / "net.prototxt"
    path.write_text(path.read_text().replace(right, wrong, 1))
    error = cafx("net", "net.prototxt", code=1).stderr
    assert re.match(r"error: net\.prototxt:\d+", error)
    assert message in error


@pytest.mark.slow
def test_an_emitted_net_equals_the_net_py(cafx: Run, folder: Path) -> None:
    (folder / "net.py").write_text(WHOLE_NET)
    text = cafx("emit", "net.py").stdout
    (folder / "again.prototxt").write_text(text)
    of_python, of_text = (json.loads(cafx("net", name, "--json").stdout) for name in ("net.py", "again.prototxt"))
    assert of_python == of_text
    assert "defines no solver" in cafx("emit", "net.py", "--solver", code=1).stderr
    cafx("emit", "net.py", "--out", "out.prototxt")
    assert (folder / "out.prototxt").read_text() == text


@pytest.mark.slow
def test_emitting_a_solver_and_its_net(cafx: Run, folder: Path) -> None:
    (folder / "net.py").write_text(
        WHOLE_NET + 'from cafx.dsl import SolverSpec\nsolver = SolverSpec(net=n, base_lr=0.5, lr_policy="fixed")\n'
    )
    assert "net_param {" in cafx("emit", "net.py").stdout
    assert cafx("emit", "net.py", "--net").stdout.startswith('name: "Bare"')


@pytest.mark.slow
def test_an_unsupported_precision_is_an_error(cafx: Run, folder: Path) -> None:
    output = cafx("net", "net.prototxt", "--engine", "numpy", "--precision", "bf16", code=1).stderr
    assert "engine 'numpy' has no such precision: got bf16, expected float32" in output


def test_engine_options_are_passed_on_as_one_choice_and_leave_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CAFX_PRECISION", raising=False)
    before = dict(os.environ)
    choices: list[EngineChoice] = []

    @click.command()
    @engine_options
    def command(engine: EngineChoice) -> None:
        choices.append(engine)
        assert dict(os.environ) == before

    for arguments in ([], ["-e", "numpy", "--precision", "bf16", "--threads", "3"]):
        assert CliRunner().invoke(command, arguments, catch_exceptions=False).exit_code == 0
    assert choices[0].keywords() == {"engine": None, "precision": None, "threads": None}
    assert choices[1].keywords() == {"engine": "numpy", "precision": "bf16", "threads": 3}


@pytest.mark.parametrize("engine", ["numpy", EngineChoice("numpy", threads=1)])
def test_plugins_build_nets_with_engine_keywords(folder: Path, engine: str | EngineChoice) -> None:
    with Settings().net(str(folder / "net.prototxt"), "TEST", engine=engine, threads=2) as net:
        assert (net.engine.name, net.engine.precision, net.engine.threads) == ("numpy", "float32", 2)
