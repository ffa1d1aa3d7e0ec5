"""Styles: the programs and the prototxts agree, and fine-tuning beats random weights."""

from __future__ import annotations

import re
from typing import Any

import pytest

PREFIXES = {"net.py": "", "fine.py": "fine_", "scratch.py": "scratch_"}


@pytest.mark.parametrize(
    "program", ["net.py", *(pytest.param(each, marks=pytest.mark.slow) for each in ("fine.py", "scratch.py"))]
)
def test_the_program_emits_the_prototxt(application: Any, program: str) -> None:
    application.emits(program, f"{PREFIXES[program]}train_test.prototxt", f"{PREFIXES[program]}solver.prototxt")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_learns_styles(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["accuracy, fine-tuned"] >= 0.4  # 0.2 by chance
    assert figures["accuracy, fine-tuned"] > figures["accuracy, from scratch"]
    application.has_picture("style.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["accuracy, last layer"] < figures["accuracy, fine-tuned"]
    assert figures["accuracy, fine-tuned"] >= figures["accuracy, from scratch"] + 0.1
    application.has_picture("style.png")
    net, weights = "fine_train_test.prototxt", "results/style.caffemodel"
    told = application.python("-m", "cafx.cli", "onnx", "quantize", net, "style.onnx", "-w", weights)
    float32, int8 = (float(each) for each in re.findall(r"([\d.]+)%.*\d,\d", told))
    assert float32 == pytest.approx(100 * figures["accuracy, fine-tuned"])
    assert int8 >= float32 - 1
