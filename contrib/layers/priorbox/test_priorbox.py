"""PriorBox passes the conformance suite, and its boxes equal a transcription of the rule cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance import layer_suite
from cafx.kernel import TEST, CafxError, Net, schema

TestPriorBox = layer_suite("PriorBox")


def boxes(text: str, cells: tuple[int, int] = (2, 3), image: tuple[int, int] = (40, 60)) -> Any:
    prototxt = f"""
        layer {{ name: "i" type: "Input" top: "x" top: "data"
          input_param {{ shape {{ dim: 1 dim: 1 dim: {cells[0]} dim: {cells[1]} }}
                         shape {{ dim: 1 dim: 3 dim: {image[0]} dim: {image[1]} }} }} }}
        layer {{ name: "p" type: "PriorBox" bottom: "x" bottom: "data" top: "y" prior_box_param {{ {text} }} }}"""
    return Net(schema().parse_text(prototxt, "NetParameter"), TEST, engine="numpy").forward()["y"]


def transcription(smallest: list[int], ratios: list[float], cells: tuple[int, int], image: tuple[int, int]) -> Any:
    rows = []
    for h in range(cells[0]):
        for w in range(cells[1]):
            x, y = (w + 0.5) * image[1] / cells[1], (h + 0.5) * image[0] / cells[0]
            for size in smallest:
                shapes = [(size, size)]
                for ratio in ratios:
                    shapes += [(size * r**0.5, size / r**0.5) for r in (ratio, 1 / ratio)]
                for width, height in shapes:
                    rows += [(x - width / 2) / image[1], (y - height / 2) / image[0]]
                    rows += [(x + width / 2) / image[1], (y + height / 2) / image[0]]
    return rows


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=3),
    st.lists(st.sampled_from([2.0, 3.0, 5.0]), unique=True, max_size=3),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_boxes_equal_a_loop_over_cells(
    smallest: list[int], ratios: list[float], cells: tuple[int, int], image: tuple[int, int]
) -> None:
    text = " ".join([f"min_size: {size}" for size in smallest] + [f"aspect_ratio: {ratio}" for ratio in ratios])
    found = boxes(text, cells, image)
    np.testing.assert_allclose(found[0, 0], transcription(smallest, ratios, cells, image), rtol=1e-5, atol=1e-6)
    assert (found[0, 1] == np.float32(0.1)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "min_size must be given"),
        ("min_size: 0.5", "min_size must be given"),
        ("min_size: nan", "min_size must be given"),
        ("min_size: 4 aspect_ratio: inf", "aspect_ratio is out of range"),
        ("min_size: 4 max_size: inf", "max_size must exceed min_size"),
        ("min_size: 4 max_size: 4", "max_size must exceed min_size"),
        ("min_size: 4 max_size: 5 max_size: 6", "needs one max_size per min_size"),
        ("min_size: 4 variance: 0.1 variance: 0.2", "needs one variance or four"),
        ("min_size: 4 variance: 0", "variance=0 is not valid"),
        ("min_size: 4 img_h: 3", "needs img_size, or img_h and img_w"),
        ("min_size: 4 img_size: 3 img_h: 3 img_w: 3", "needs img_size, or img_h and img_w"),
        ("min_size: 4 step: 0", "must be positive"),
    ],
)
def test_invalid_options_are_errors(text: str, message: str) -> None:
    with pytest.raises(CafxError, match=message):
        boxes(text)
