"""ROIPooling beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Phase

TestROIPooling = layer_suite("ROIPooling")
INVALID_BATCH = "a region's image is not in the batch"


def by_loops(x: np.ndarray, regions: np.ndarray, rows: int, columns: int, scale: float) -> tuple[np.ndarray, ...]:
    """Top, and the gradient of its sum, bin by bin and position by position."""
    height, width = x.shape[2:]
    y, dx = np.zeros((len(regions), x.shape[1], rows, columns)), np.zeros_like(x)

    def rounded(value: float) -> int:
        scaled = np.float32(value) * np.float32(scale)
        return int(np.sign(scaled) * np.floor(abs(np.float64(scaled)) + 0.5))

    for r, (image, x1, y1, x2, y2) in enumerate(regions):
        left, top = rounded(x1), rounded(y1)
        wide = np.float32(max(rounded(x2) - left + 1, 1)) / np.float32(columns)
        high = np.float32(max(rounded(y2) - top + 1, 1)) / np.float32(rows)
        for c in range(x.shape[1]):
            for i in range(rows):
                for j in range(columns):
                    first_row, last_row = int(np.floor(np.float32(i) * high)), int(np.ceil(np.float32(i + 1) * high))
                    first, last = int(np.floor(np.float32(j) * wide)), int(np.ceil(np.float32(j + 1) * wide))
                    best, where = -np.inf, None
                    for h in range(min(max(first_row + top, 0), height), min(max(last_row + top, 0), height)):
                        for w in range(min(max(first + left, 0), width), min(max(last + left, 0), width)):
                            if x[int(image), c, h, w] > best:
                                best, where = x[int(image), c, h, w], (int(image), c, h, w)
                    if where is not None:
                        y[r, c, i, j] = best
                        dx[where] += 1
    return y, dx


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.TEST])
def test_it_equals_a_loop_over_positions(seed: int, dtype: str, phase: Phase) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = (int(each) for each in rng.integers(1, 8, 2))
    scale = float(rng.choice([1.0, 0.5, 0.0625, 0.3]))
    x = rng.integers(-3, 3, (2, 2, *rng.integers(1, 20, 2))).astype(float)  # many equal values
    corners = rng.uniform(-30, 30 / scale, (9, 4))
    corners[::2] = np.round(corners[::2])
    regions = np.column_stack([rng.integers(0, 2, 9), corners]).astype(np.float32)
    options = {"pooled_h": rows, "pooled_w": columns, "spatial_scale": scale}
    y, dx = by_loops(x, regions, rows, columns, scale)
    run = run_layer("ROIPooling", [x, regions], options=options, phase=phase, dtype=dtype, top_diffs=[np.ones(y.shape)])
    np.testing.assert_array_equal(run.tops[0], y)
    np.testing.assert_array_equal(run.bottom_diffs[0], dx)


@pytest.mark.parametrize("image", [-1.0, 2.0, np.nan])
def test_a_region_of_no_image_is_refused(image: float) -> None:
    options = {"pooled_h": 2, "pooled_w": 2}
    with pytest.raises(CafxError, match=INVALID_BATCH):
        run_layer("ROIPooling", [np.ones((2, 1, 4, 4)), [[image, 0, 0, 3, 3]]], options=options)


def test_regions_far_outside_give_0() -> None:
    options = {"pooled_h": 2, "pooled_w": 2}
    regions = [[0, 1e9, 1e9, 2e9, 2e9], [0, -2e9, 0, -1e9, 3]]
    run = run_layer("ROIPooling", [np.ones((1, 1, 4, 4)), regions], options=options)
    assert not run.tops[0].any()


def test_nan_and_zeros_of_both_signs_are_ordered() -> None:
    options = {"pooled_h": 1, "pooled_w": 1}
    x = np.array([[[[-0.0, 0.0]], [[1.0, -np.nan]]]], np.float32)
    run = run_layer("ROIPooling", [x, [[0, 0, 0, 1, 0]]], options=options, top_diffs=[np.ones((1, 2, 1, 1))])
    assert np.isnan(run.tops[0].reshape(-1)).tolist() == [False, True]
    assert run.bottom_diffs[0].reshape(-1).tolist() == [1, 0, 0, 1]


def test_regions_that_are_not_finite_have_empty_bins_and_end_nothing() -> None:
    x = np.arange(1.0, 49).reshape(1, 1, 6, 8)
    regions = [[0, np.nan, 0, 3, 3], [0, 0, 0, np.inf, 3], [0, -np.inf, 0, 3, 3], [0, 0, 0, 3, 3]]
    run = run_layer("ROIPooling", [x, np.array(regions)], options={"pooled_h": 1, "pooled_w": 1})
    assert np.isfinite(run.tops[0]).all()
    assert run.tops[0].reshape(-1)[3] == 28


@pytest.mark.parametrize("phase", list(Phase))
def test_features_without_pixels_have_empty_bins(phase: Phase) -> None:
    x, regions = np.zeros((1, 2, 0, 8)), np.array([[0.0, 1, 1, 5, 5]])
    run = run_layer("ROIPooling", [x, regions], options={"pooled_h": 2, "pooled_w": 3}, phase=phase)
    np.testing.assert_array_equal(run.tops[0], np.zeros((1, 2, 2, 3)))
