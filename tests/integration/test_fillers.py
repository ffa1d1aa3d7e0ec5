"""Fillers initialise parameters like Caffe's: exactly, or for random fillers in moments and bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.kernel import Net, Phase

SEED = 1701
STANDARD_ERRORS = 4  # tolerance of the moments of random values
FLOAT_ERROR = 1e-6  # of float32 values near 1
Array = npt.NDArray[Any]


@pytest.mark.shared_files("golden/fillers/*.json")
def test_a_filler_initialises_a_parameter_like_caffe(shared_file: Path) -> None:
    facts = json.loads(shared_file.read_text())
    expected = facts["expected"]
    net = Net(shared_file.with_suffix(".prototxt"), Phase.TRAIN, engine="numpy", seed=SEED)
    values = net.params["l"][facts["blob"]].host()
    assert list(values.shape) == facts["shape"]
    exact = shared_file.with_suffix(".npz")
    if exact.exists():
        np.testing.assert_allclose(values, np.load(exact)["values"], rtol=0, atol=FLOAT_ERROR)
    elif "exact" in expected:
        assert (values == np.float32(expected["exact"])).all()
    else:
        check_draws(values.astype(np.float64), expected)


def check_draws(values: Array, expected: dict[str, float]) -> None:
    """Check bounds exactly, and moments within a number of standard errors."""
    count, centred = values.size, values - values.mean()
    assert values.min() >= expected.get("low", -np.inf) - FLOAT_ERROR
    assert values.max() <= expected.get("high", np.inf) + FLOAT_ERROR
    if "row_sum" in expected:
        rows = values.reshape(len(values), -1)
        np.testing.assert_allclose(rows.sum(axis=1), expected["row_sum"], atol=1e-5)
        return
    error = expected["std"] / np.sqrt(count)
    assert abs(values.mean() - expected["mean"]) < STANDARD_ERRORS * error
    kurtosis = (centred**4).mean() / values.var() ** 2
    error = expected["std"] * np.sqrt((kurtosis - 1) / (4 * count))
    assert abs(values.std() - expected["std"]) < STANDARD_ERRORS * error
    if "nonzero_fraction" in expected:
        share = expected["nonzero_fraction"]
        error = np.sqrt(share * (1 - share) / count)
        assert abs(np.count_nonzero(values) / count - share) < STANDARD_ERRORS * error
