"""Yolov3DetectionOutput passes the conformance suite, decodes deviations, and checks its options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestYolov3DetectionOutput = layer_suite("Yolov3DetectionOutput")

ONE: dict[str, Any] = {"num_classes": 2, "num_box": 1, "biases": [20, 30, 50, 40], "mask": [1], "anchors_scale": [16]}
ONE |= {"mask_group_num": 1, "confidence_threshold": 0.4}


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_deviations_lower_the_score_and_leave_the_box() -> None:
    plain = [logit(0.5), logit(0.25), 0.0, 0.0, logit(0.9), logit(0.8), logit(0.1)]
    deviating = [plain[0], logit(0.1), plain[1], logit(0.2), 0.0, logit(0.3), 0.0, logit(0.4), *plain[4:]]
    (rows,) = run_layer("Yolov3DetectionOutput", [np.reshape(plain, (1, 7, 1, 1))], options=ONE).tops[0][0]
    box = [0.5 - 50 / 32, 0.25 - 40 / 32, 0.5 + 50 / 32, 0.25 + 40 / 32]
    np.testing.assert_allclose(rows, [[0, 1, 0.72, *box]], rtol=1e-5)
    options = {**ONE, "gaussian_box": True}
    (rows,) = run_layer("Yolov3DetectionOutput", [np.reshape(deviating, (1, 11, 1, 1))], options=options).tops[0][0]
    np.testing.assert_allclose(rows, [[0, 1, 0.72 * 0.75, *box]], rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mask": [2]}, "index of a pair"),
        ({"num_box": 2}, "index of a pair"),
        ({"mask_group_num": 2}, "a bottom per scale"),
        ({"anchors_scale": []}, "anchors_scale for each scale"),
        ({"num_classes": 3}, "boxes of 8 values"),
    ],
)
def test_options_must_fit_the_scales(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(CafxError, match=message):
        run_layer("Yolov3DetectionOutput", [np.zeros((1, 7, 1, 1))], options={**ONE, **wrong})


def test_the_number_of_classes_must_be_written() -> None:
    options = {name: value for name, value in ONE.items() if name != "num_classes"}
    with pytest.raises(CafxError, match="num_classes must be written"):
        run_layer("Yolov3DetectionOutput", [np.zeros((1, 25, 1, 1))], options=options)
