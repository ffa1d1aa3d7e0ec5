"""Siamese: the program and the prototxt agree, towers share their weights, and digits separate in the plane."""

from __future__ import annotations

from typing import Any

import pytest


def test_the_program_emits_the_prototxt(application: Any) -> None:
    application.emits("net.py", "train_test.prototxt", "solver.prototxt")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_separates_digits(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["k-NN in the plane"] >= figures["k-NN on two principal components"] + 0.2
    application.has_picture("siamese.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["k-NN in the plane"] >= 0.95
    assert figures["k-NN on two principal components"] <= 0.5
    application.has_picture("siamese.png")
