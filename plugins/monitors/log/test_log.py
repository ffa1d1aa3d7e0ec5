"""The log matches the patterns of Caffe's log parser and the numbers that Caffe prints."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import Solver, registry, schema
from cafx_monitor_log import Log

TestLog = plugin_suite("monitor", "log")

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "solvers"
PRINTED = 2e-5  # six significant digits are printed

ITERATION = re.compile(r"Iteration (\d+)")
TRAIN_OUTPUT = re.compile(r"Train net output #(\d+): (\S+) = ([\.\deE+-]+)")
TEST_OUTPUT = re.compile(r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)")
RATE = re.compile(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)")
SOLVER = """
net_param {
  name: "Tiny"
  layer { name: "data" type: "Input" top: "data" top: "target"
    input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
    inner_product_param { num_output: 2 bias_filler { type: "constant" value: 1 } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" loss_weight: 2 }
}
base_lr: 0.01 lr_policy: "fixed" max_iter: 4 display: 2 test_iter: 2 test_interval: 2 random_seed: 1
test_compute_loss: true
"""


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    """The log of a small run."""
    options = schema().parse_text(SOLVER, "SolverParameter")
    options.snapshot_prefix = str(tmp_path / "tiny")
    path = tmp_path / "run.log"
    with Solver(options, engine="numpy") as solver:
        solver.monitors.add(Log(str(path)))
        solver.solve()
    return path.read_text().splitlines()


@pytest.mark.parametrize(("target", "stream"), [("-", "out"), ("", "err")])
def test_a_dash_is_standard_output_and_nothing_standard_error(
    target: str, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Log(target).line("solver.cpp:1", "a word")
    captured = capsys.readouterr()
    assert getattr(captured, stream).endswith("solver.cpp:1] a word\n")
    assert not getattr(captured, "err" if stream == "out" else "out")


def test_every_line_has_the_header_of_glog(lines: list[str]) -> None:
    head = re.compile(r"^I(\d{4}) (\d\d:\d\d:\d\d\.\d{6}) +\d+ \w+\.cpp:\d+\] .")
    assert all(head.match(line) for line in lines)


def test_the_log_parser_of_caffe_finds_time_rates_and_outputs(lines: list[str]) -> None:
    """As the parser does: split the first line for the time, remember the iteration, search for the rest."""
    start = next(line for line in lines if "Solving" in line)
    stamp = start.strip().split()
    assert datetime.strptime(stamp[0][1:] + stamp[1], "%m%d%H:%M:%S.%f").month == int(stamp[0][1:3])
    iteration, rates, trained, tested = -1, {}, {}, {}
    for line in lines:
        if match := ITERATION.search(line):
            iteration = int(match[1])
        if match := RATE.search(line):
            rates[iteration] = float(match[1])
        if match := TRAIN_OUTPUT.search(line):
            trained[iteration, match[2]] = float(match[3])
        if match := TEST_OUTPUT.search(line):
            tested[iteration, match[2]] = float(match[3])
    assert rates == {0: 0.01, 2: 0.01}
    assert set(trained) == {(0, "loss"), (2, "loss")}
    assert set(tested) == {(0, "loss"), (2, "loss"), (4, "loss")}
    assert trained[2, "loss"] < trained[0, "loss"]


def test_lines_equal_those_of_caffe(lines: list[str]) -> None:
    messages = [line.split("] ", 1)[1] for line in lines]
    assert messages[0] == "Solving Tiny"
    assert messages[1] == "Learning Rate Policy: fixed"
    assert messages[2] == "Iteration 0, Testing net (#0)"
    assert messages[3] == "Test loss: 2"
    assert messages[4] == "    Test net output #0: loss = 1 (* 2 = 2 loss)"
    assert re.fullmatch(r"Iteration 0 \(\S+ iter/s, \S+s/2 iters\), loss = 2", messages[5])
    assert messages[6] == "    Train net output #0: loss = 1 (* 2 = 2 loss)"
    assert messages[7] == "Iteration 0, lr = 0.01"
    assert any(re.fullmatch(r"Snapshotting to binary proto file \S+_iter_4\.caffemodel", line) for line in messages)
    assert any(re.fullmatch(r"Iteration 4, loss = \S+", line) for line in messages)
    assert messages[-1] == "Optimization Done."


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs the golden data beside the repository")
@pytest.mark.parametrize("case", [path.parent.name for path in sorted(GOLDEN.glob("*/cli_log.json"))])
def test_numbers_equal_those_of_caffe(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = set(re.findall(r'type: "(\w+)"', (GOLDEN / case / "net.prototxt").read_text()))
    known = {name for kind in ("layer", "filler", "policy", "solver") for name in registry().names(kind)}
    policy = re.findall(r'lr_policy: "(\w+)"', (GOLDEN / case / "solver_cli.prototxt").read_text())
    if not {*needed, *policy} <= known:
        pytest.skip(f"needs {', '.join(sorted({*needed, *policy} - known))}")
    for path in (GOLDEN / case).iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    with Solver.load("solver_cli.prototxt", engine="numpy") as solver:
        solver.net.copy_from("init.caffemodel")
        solver.monitors.add(Log("run.log"))
        solver.solve()
    printed = json.loads(Path("cli_log.json").read_text())
    messages = Path("run.log").read_text().splitlines()
    losses = [m.groups() for line in messages if (m := re.search(r"Iteration (\d+).*, loss = (\S+)", line))]
    rates = [m.groups() for line in messages if (m := re.search(r"Iteration (\d+), lr = (\S+)", line))]
    scores, iteration = [], "0"
    for line in messages:
        if m := re.search(r"Iteration (\d+), Testing", line):
            iteration = m[1]
        if m := re.search(r"Test loss: (\S+)", line):
            scores.append((iteration, -1, "Test loss", m[1]))
        if m := TEST_OUTPUT.search(line):
            scores.append((iteration, int(m[1]), m[2], m[3]))
    for actual, expected in ((losses, printed["train"]), (rates, printed["lr"])):
        assert [int(i) for i, _ in actual] == [i for i, _ in expected]
        np.testing.assert_allclose([float(v) for _, v in actual], [v for _, v in expected], rtol=PRINTED)
    assert [(int(i), n, name) for i, n, name, _ in scores] == [tuple(row[:3]) for row in printed["test"]]
    np.testing.assert_allclose([float(row[3]) for row in scores], [row[3] for row in printed["test"]], rtol=PRINTED)
