"""Rows of a metrics file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from cafx.conformance import plugin_suite
from cafx.kernel import Solver, schema
from cafx_monitor_metrics import Metrics

TestMetrics = plugin_suite("monitor", "metrics")

SOLVER = """
net_param {
  layer { name: "data" type: "Input" top: "data" top: "target"
    input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
    inner_product_param { num_output: 2 bias_filler { type: "constant" value: 1 } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
}
base_lr: 0.01 lr_policy: "fixed" max_iter: 4 test_iter: 2 test_interval: 2 random_seed: 1
"""


def train(path: Path, iterations: int = 4, resume: Path | None = None) -> Path:
    """Train with a metrics file; returns the state's path."""
    options = schema().parse_text(SOLVER, "SolverParameter")
    options.max_iter = iterations
    options.snapshot_prefix = str(path.parent / "tiny")
    with Solver(options, engine="numpy") as solver:
        solver.monitors.add(Metrics(str(path)))
        solver.solve(resume)
    return path.parent / f"tiny_iter_{iterations}.solverstate"


def test_csv_has_one_row_per_iteration_and_per_test(tmp_path: Path) -> None:
    train(tmp_path / "run.csv")
    with (tmp_path / "run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["iteration", "seconds", "loss", "lr", "test/loss"]
    assert [row["iteration"] for row in rows if row["loss"]] == ["0", "1", "2", "3"]
    assert [row["iteration"] for row in rows if row["test/loss"]] == ["0", "2", "4"]
    assert {row["lr"] for row in rows} == {"0.01", ""}


def test_json_lines_have_the_same_values(tmp_path: Path) -> None:
    train(tmp_path / "run.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows if "loss" in row] == [0, 1, 2, 3]
    assert rows[0].keys() == {"iteration", "seconds", "test/loss"}


def test_a_resumed_run_appends_to_its_file(tmp_path: Path) -> None:
    state = train(tmp_path / "run.csv", 2)
    before = (tmp_path / "run.csv").read_text()
    train(tmp_path / "run.csv", 4, state)
    after = (tmp_path / "run.csv").read_text()
    assert after.startswith(before)
    assert after.count("iteration") == 1
