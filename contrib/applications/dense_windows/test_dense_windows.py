"""Dense windows: the program and the prototxt agree, one pass equals all windows, and digits are found."""

from __future__ import annotations

from typing import Any

import pytest

EXACT = 1e-5


def test_the_program_emits_the_prototxt(application: Any) -> None:
    application.emits("net.py", "train_test.prototxt", "solver.prototxt")
    dense = application.python("-c", "import net; print(net.dense(224, 224).to_proto())")
    assert dense.strip() == (application.folder / "dense.prototxt").read_text().strip()


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_finds_digits(application: Any) -> None:
    figures = application.figures("--small")
    assert 0 < figures["largest difference"] <= EXACT
    assert figures["F1"] >= 0.4
    application.has_picture("dense_windows.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["largest difference"] <= EXACT
    assert figures["share of time"] <= 0.1
    assert figures["F1"] >= 0.95
    application.has_picture("dense_windows.png")
