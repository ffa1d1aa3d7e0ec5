"""Output of the progress monitor, with and without a terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cafx.conformance import plugin_suite
from cafx.kernel import Solver, schema
from cafx_monitor_progress import Progress, duration

TestProgress = plugin_suite("monitor", "progress")

SOLVER = """
net_param {
  name: "Tiny"
  layer { name: "data" type: "Input" top: "data" top: "target"
    input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
    inner_product_param { num_output: 2 bias_filler { type: "constant" value: 1 } } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
}
base_lr: 0.01 lr_policy: "fixed" max_iter: 4 test_iter: 2 test_interval: 2 display: 2 random_seed: 1
"""


def output_of(tmp_path: Path, terminal: bool, width: int = 120, done: int = 0) -> str:
    """Everything printed while a small net trains."""
    options = schema().parse_text(SOLVER, "SolverParameter")
    options.snapshot_prefix = str(tmp_path / "tiny")
    text = io.StringIO()
    with Solver(options, engine="numpy") as solver:
        solver.iter = done
        solver.monitors.add(Progress(console=Console(file=text, force_terminal=terminal, width=width)))
        solver.solve()
    return text.getvalue()


def test_without_a_terminal_plain_lines_are_printed(tmp_path: Path) -> None:
    lines = output_of(tmp_path, terminal=False).splitlines()
    assert lines[0].startswith("Training Tiny: 8 parameters, SGD, 4 images per iteration")
    assert lines[1] == "iteration 0  test: loss 1"
    assert lines[2].startswith("iteration 2/4  loss ")
    assert "lr 0.01" in lines[2]
    assert "images/s" in lines[2]
    assert lines[2].endswith(" left")
    assert "\x1b" not in "".join(lines)


def test_a_terminal_shows_a_bar_and_lines_for_tests(tmp_path: Path) -> None:
    text = output_of(tmp_path, terminal=True)
    assert "4/4" in text
    assert "iteration 2  test: loss " in text
    assert "snapshot: " in text


def test_a_narrow_terminal_shows_iterations_loss_and_time(tmp_path: Path) -> None:
    text = output_of(tmp_path, terminal=True, width=60)
    assert "4/4" in text
    assert "…" not in text
    assert " left" in text
    assert "images/s" not in text


def test_a_run_that_is_complete_is_not_announced_as_training(tmp_path: Path) -> None:
    assert output_of(tmp_path, terminal=False).splitlines()[0].endswith("iterations 0 to 4")
    assert output_of(tmp_path, terminal=False, done=6).splitlines()[0].endswith("no iterations left")


@pytest.mark.parametrize(("seconds", "text"), [(7, "0:07"), (187, "3:07"), (7387, "2:03:07")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


TRAINING = """
import sys
from cafx.kernel import Solver, schema
from cafx_monitor_progress import Progress
with Solver(schema().parse_text(sys.argv[1], "SolverParameter"), engine="numpy") as solver:
    solver.monitors.add(Progress())
    solver.solve()
print("rich" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("forced", [False, True])
def test_lines_in_a_file_need_no_rich(tmp_path: Path, forced: bool) -> None:
    options = SOLVER + "snapshot_after_train: false"
    environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    environment |= {"FORCE_COLOR": "1"} if forced else {}
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, options], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == f"{forced}\n"
    assert "iteration 4  test: loss " in done.stderr
    assert ("\x1b" in done.stderr) is forced
