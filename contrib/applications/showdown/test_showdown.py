"""Solver showdown: the program and the prototxt agree, all six solvers learn, and they rank as on Caffe's slide."""

from __future__ import annotations

from typing import Any

import pytest

SOLVERS = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
UNTRAINED = 125
"""L2 error of the net before training, by the fillers."""


def test_the_program_emits_the_prototxt(application: Any) -> None:
    application.emits("net.py", "train_test.prototxt", "solver.prototxt")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_in_a_miniature_all_solvers_learn(application: Any) -> None:
    figures = application.figures("--small")
    for name in SOLVERS:
        assert figures[f"{name} test l2_error"] < UNTRAINED / 2
    application.has_picture("showdown.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_solvers_rank_as_on_the_slide(application: Any) -> None:
    figures = application.figures()
    for score in ("train cross_entropy", "test cross_entropy", "train l2_error", "test l2_error"):
        nesterov, sgd, adagrad = (figures[f"{name} {score}"] for name in ("Nesterov", "SGD", "AdaGrad"))
        assert nesterov < sgd < adagrad
    application.has_picture("showdown.png")
