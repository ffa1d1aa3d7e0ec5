"""cuda-convnet's nets: the programs and the prototxts agree, and the nets learn to recognise CIFAR-10's classes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

CHANCE = 0.1


@pytest.mark.parametrize(
    ("program", "net", "solver"),
    [
        ("net.py", "train_test.prototxt", "solver.prototxt"),
        ("augmented.py", "augmented_train_test.prototxt", "augmented_solver.prototxt"),
        ("full.py", "full_train_test.prototxt", "full_solver.prototxt"),
    ],
)
def test_the_programs_emit_the_prototxts(program: str, net: str, solver: str, application: Any) -> None:
    (application.folder / "mean.binaryproto").touch()
    application.emits(program, net, solver)


def test_absent_data_are_reported_without_a_traceback(application: Any) -> None:
    settings = {**os.environ, "CAFX_DATA": str(application.folder / "nowhere")}
    command = [sys.executable, "run.py"]
    process = subprocess.run(
        command, cwd=application.folder, env=settings, text=True, capture_output=True, timeout=60, check=False
    )
    assert process.returncode == 1
    assert process.stderr.startswith("error: ")
    assert "CAFX_DATA=FOLDER" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_is_better_than_chance(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["quick accuracy"] >= 2 * CHANCE
    assert figures["mirror and crop accuracy"] >= 2 * CHANCE
    application.has_picture("cifar10.png")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_the_full_net_s_time_is_computed_from_its_first_iterations(application: Any) -> None:
    figures = full(application, "--small")
    assert figures["hours of all iterations"] == pytest.approx(70000 * figures["milliseconds per iteration"] / 3.6e6)


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_quick_net(application: Any) -> None:
    figures = application.figures()
    assert figures["quick accuracy"] >= 0.63
    assert figures["mirror and crop accuracy"] >= 0.68
    application.has_picture("cifar10.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_full_net_s_first_iterations_learn(application: Any) -> None:
    assert full(application)["accuracy"] >= 0.6


def full(application: Any, *arguments: str) -> dict[str, float]:
    """Run ``run_full.py`` and return its figures."""
    application.python("run_full.py", "--out", "results", *arguments)
    return dict(json.loads((application.folder / "results" / "full.json").read_text()))
