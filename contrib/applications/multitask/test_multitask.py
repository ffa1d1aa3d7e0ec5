"""Multi-task: the program and the prototxt agree, the views stay in step, and one net learns both tasks."""

from __future__ import annotations

from typing import Any

import pytest

DATABASES = [f"{what}_{phase}_lmdb" for what in ("left", "right", "whole") for phase in ("train", "test")]


def test_the_program_emits_the_prototxt(application: Any) -> None:
    application.pretend_data(*DATABASES)
    application.emits("net.py", "train_test.prototxt", "solver.prototxt")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_learns_both_tasks_in_step(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["accuracy, both tasks"] >= 0.7
    assert figures["squared error per digit, both tasks"] <= 40
    assert {value for name, value in figures.items() if name.startswith("out of step")} == {0}
    application.has_picture("multitask.png")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_views_out_of_step_are_noticed(application: Any) -> None:
    assert out_of_step(application, "left_test") == 0
    assert out_of_step(application, "left_train") > 0


def out_of_step(application: Any, database: str) -> float:
    """What the test net says of its first batch if the left views come from a database."""
    code = (
        "import net; from cafx.kernel import Net, TEST\n"
        f"text = str(net.n.to_proto()).replace('left_test', '{database}')\n"
        "open('changed.prototxt', 'w').write(text)\n"
        "print(float(Net('changed.prototxt', TEST).forward()['out_of_step']))"
    )
    return float(application.python("-c", code, "--small").split()[-1])


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["accuracy, both tasks"] >= 0.93
    assert figures["accuracy, both tasks"] >= figures["accuracy, left view only"] + 0.05
    assert figures["accuracy, both tasks"] >= figures["accuracy, classes only"] - 0.02
    error = "squared error per digit, {}"
    assert figures[error.format("both tasks")] <= 1.2 * figures[error.format("pixels only")]
    assert figures[error.format("both tasks")] <= 0.7 * figures[error.format("left view only")]
    assert figures[error.format("pixels weigh less")] > figures[error.format("both tasks")]
    assert {value for name, value in figures.items() if name.startswith("out of step")} == {0}
    application.has_picture("multitask.png")
