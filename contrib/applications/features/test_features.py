"""Features: programs and prototxts agree, features of SqueezeNet beat pixels, and neighbours stay neighbours."""

from __future__ import annotations

from typing import Any

import pytest

CHANCE = 0.1


def test_the_programs_emit_the_prototxts(application: Any) -> None:
    application.pretend_data("train.h5", "test.h5", "images")
    application.emits("net.py", "train_test.prototxt", "solver.prototxt")
    application.emits("squeeze.py", "features.prototxt")


def plotted(application: Any, suffix: str) -> float:
    """Draw with the command, and return the trustworthiness that it prints."""
    files = f"features{suffix}.h5", "--labels", f"labels{suffix}.h5", "--classes", "images/classes.txt"
    printed = application.python("-m", "cafx.cli", "plot", "embedding", *files, "--out", "results/embedding.png")
    application.has_picture("embedding.png", most=1_000_000)
    return float(printed.split()[-1])


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_beats_pixels(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["SVM, features"] >= figures["SVM, pixels"] + 0.15
    assert figures["SVM by cafx, features"] >= figures["SVM, pixels"] + 0.15
    assert figures["trustworthiness"] >= 0.8
    application.has_picture("features.png")
    assert plotted(application, "_small") >= 0.8


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    for kind in ("k-NN", "SVM"):
        assert figures[f"{kind}, features"] >= figures[f"{kind}, pixels"] + 0.15
        assert figures[f"{kind}, pixels"] >= 2 * CHANCE
    assert figures["SVM by cafx, features"] >= figures["SVM, features"] - 0.02
    assert figures["trustworthiness"] >= 0.9
    assert figures["animal or vehicle, in the plane"] >= 0.8
    application.has_picture("features.png")
    assert plotted(application, "") >= 0.9
