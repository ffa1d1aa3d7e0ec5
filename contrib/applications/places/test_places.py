"""Places: the program and the prototxt agree, pictures and attributes stay in step, and scenes are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

IN_STEP = """
import json
import numpy as np
from data import places
from net import n
from cafx.kernel import TEST, Net
net = Net(n, TEST)
net.forward()
count = len(net.blobs["type_label"].data)
for each, picture, category, marks, kind in zip(
    places("test", count), *(net.blobs[name].data for name in ("data", "category_label", "marks", "type_label"))
):
    assert np.abs(picture.transpose(1, 2, 0) * 64 + 128 - each.image).max() < 0.01
    assert (category, kind) == (each.category, each.type)
    assert (marks[:, 0, 0] == each.attributes).all()
print(json.dumps(count))
"""
ANSWER = """
import json
import numpy as np
from run import answer
print(json.dumps(answer(np.array([0.1, 0.9]), np.arange(10) / 45, np.arange(12) / 12)))
"""


@pytest.fixture
def databases(application: Any) -> Any:
    """The application, whose databases seem to exist."""
    application.pretend_data("train_lmdb", "test_lmdb", "train_marks_lmdb", "test_marks_lmdb")
    return application


def test_the_program_emits_the_prototxt(databases: Any) -> None:
    databases.emits("net.py", "train_test.prototxt", "solver.prototxt")


@pytest.mark.slow
def test_an_answer_is_printed_as_the_demonstration_prints_it(databases: Any) -> None:
    kind, categories, attributes = json.loads(databases.python("-c", ANSWER))
    assert kind == "type: outdoor"
    assert categories == "categories: skyscrapers: 0.20, street: 0.18, desert: 0.16"
    assert attributes == "attributes: lamp, carpet, wooden floor, people, snow"


@pytest.mark.slow
def test_pictures_and_attributes_are_in_step(application: Any) -> None:
    assert json.loads(application.python("-c", "import sys; sys.argv.append('--small')" + IN_STEP)) == 100


@pytest.mark.slow
def test_a_miniature_tells_scenes(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["accuracy of types"] >= 0.95
    assert figures["accuracy of categories"] >= 0.8
    assert figures["mAP of attributes"] >= 0.7
    application.has_picture("places.png")


@pytest.mark.long
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["accuracy of types"] >= 0.99
    assert figures["accuracy of categories"] >= 0.98
    assert figures["mAP of attributes"] >= 0.95
    application.has_picture("places.png")
