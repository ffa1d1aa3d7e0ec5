"""Flattening and formatting of scores."""

from __future__ import annotations

import doctest

import numpy as np

import cafx_lib_scores
from cafx_lib_scores import flatten, format_values


def test_examples_run() -> None:
    assert doctest.testmod(cafx_lib_scores).failed == 0


def test_arrays_are_flattened_in_c_order_and_empty_ones_have_no_rows() -> None:
    scores = {"grid": np.arange(4.0).reshape(2, 2), "none": np.zeros(0), "one": np.ones((1, 1))}
    assert flatten(scores, "{name}/{index}") == [
        ("grid/0", 0.0),
        ("grid/1", 1.0),
        ("grid/2", 2.0),
        ("grid/3", 3.0),
        ("one", 1.0),
    ]


def test_long_arrays_are_abbreviated() -> None:
    assert format_values(np.zeros(1234)).endswith("0, … 1,234 values]")
    assert format_values(np.zeros(10)).count("0") == 10
