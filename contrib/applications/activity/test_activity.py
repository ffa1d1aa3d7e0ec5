"""Activity: programs and prototxt agree; an LSTM over frames knows what a frame alone cannot tell."""

from __future__ import annotations

from typing import Any

import pytest

CHANCE = 1 / 8
FILES = ("train_directions.h5", "test_directions.h5", "train_lmdb", "test_lmdb")


def test_the_programs_emit_the_prototxts(application: Any) -> None:
    application.pretend_data(*FILES)
    application.emits("net.py", "train_test.prototxt", "solver.prototxt")
    application.emits("frames.py", "frames_train_test.prototxt", "frames_solver.prototxt")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_tells_directions(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["LSTM, last frame"] >= 3 * CHANCE
    assert figures["LSTM, first frame"] <= 2 * CHANCE
    application.has_picture("activity.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["LSTM, averaged over frames"] >= 0.95
    assert figures["frames alone, averaged over frames"] <= 1.5 * CHANCE
    application.has_picture("activity.png")
