"""ProposalTarget beyond the conformance suite."""

import math

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestProposalTarget = layer_suite("ProposalTarget")
TOLERANCE = 1e-4
BOX = [10.0, 10, 29, 29]


def targets(proposed: list[list[float]], objects: list[list[float]], **options: object) -> list[np.ndarray]:
    """The tops: regions, labels, targets, inside and outside weights."""
    rows = np.column_stack([np.zeros(len(proposed)), np.reshape(proposed, (-1, 4))])
    chosen = {"num_classes": 3, **options}
    return run_layer("ProposalTarget", [rows, np.reshape(objects, (-1, 5))], options=chosen, tops=5).tops


def test_a_region_has_the_class_and_offsets_of_the_box_that_it_overlaps_most() -> None:
    regions, labels, offsets, inside, outside = targets(
        [[10, 10, 29, 34]], [[*BOX, 2], [0, 0, 3, 3, 1]], inside_weight=[1, 2, 3, 4], fg_fraction=1.0
    )
    index = int(np.flatnonzero((regions[:, 1:] == [10, 10, 29, 34]).all(axis=1))[0])
    assert labels[index] == 2
    np.testing.assert_allclose(offsets[index, 8:], [0, -2.5 / 25, 0, math.log(20 / 25)], atol=TOLERANCE)
    assert not offsets[index, :8].any()
    assert inside[index].tolist() == [0] * 8 + [1, 2, 3, 4]
    assert outside[index].tolist() == [0] * 8 + [1] * 4


def test_offsets_are_normalised_if_asked() -> None:
    plain = targets([], [[*BOX, 1]], fg_fraction=1.0)
    scaled = targets([], [[*BOX, 1]], fg_fraction=1.0, normalize=True, bbox_mean=[1, 2, 3, 4])
    np.testing.assert_allclose(
        scaled[2][0, 4:8], (plain[2][0, 4:8] - [1, 2, 3, 4]) / [0.1, 0.1, 0.2, 0.2], rtol=TOLERANCE
    )


def test_objects_and_background_are_drawn_by_overlap() -> None:
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 20, (400, 2))
    proposed = np.column_stack([corner, corner + rng.uniform(15, 25, (400, 2))]).tolist()
    regions, labels, *_ = targets(proposed, [[*BOX, 1]], batch_size=64, fg_fraction=0.25)
    assert len(regions) == 64
    assert (labels == 1).sum() == 16
    for (_, x1, y1, x2, y2), label in zip(regions, labels, strict=True):
        common = max(0, min(x2, 29) - max(x1, 10) + 1) * max(0, min(y2, 29) - max(y1, 10) + 1)
        overlap = common / ((x2 - x1 + 1) * (y2 - y1 + 1) + 400 - common)
        assert overlap >= 0.5 if label else 0.1 <= overlap < 0.5


def test_with_two_classes_all_objects_share_their_targets_but_keep_their_labels() -> None:
    _, labels, _, inside, _ = targets([], [[*BOX, 7]], num_classes=2, fg_fraction=1.0)
    assert labels.tolist() == [7]
    assert inside.tolist() == [[0] * 4 + [1] * 4]


def test_a_class_out_of_range_and_a_second_image_are_refused() -> None:
    with pytest.raises(CafxError, match=r"not valid: got 3 to 3, expected 1 to 2"):
        targets([], [[*BOX, 3]])
    with pytest.raises(CafxError, match="one image"):
        run_layer("ProposalTarget", [[[1, 0, 0, 5, 5]], [[*BOX, 1]]], options={"num_classes": 3}, tops=5)


def test_a_box_without_a_pixel_is_refused_and_such_a_region_left_out() -> None:
    with pytest.raises(CafxError, match="object 0: 9 8 7 12"):
        targets([], [[9, 8, 7, 12, 1]])
    regions, *_ = targets([[9, 8, 7, 12]], [[*BOX, 1]], bg_thresh_lo=0.0)
    assert len(regions) == 1
