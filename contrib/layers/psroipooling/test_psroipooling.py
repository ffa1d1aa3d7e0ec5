"""PSROIPooling beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Engine

TestPSROIPooling = layer_suite("PSROIPooling")
TOLERANCE = 1e-5


def by_loops(x: np.ndarray, regions: np.ndarray, dim: int, group: int, scale: float) -> tuple[np.ndarray, ...]:
    """Top, and the gradient of its sum, bin by bin and position by position."""
    height, width = x.shape[2:]
    y, dx = np.zeros((len(regions), dim, group, group)), np.zeros_like(x)
    f = np.float32

    def rounded(value: float) -> np.float32:
        return f(np.sign(value) * np.floor(abs(value) + 0.5))

    for r, (image, *corners) in enumerate(regions):
        x1, y1, x2, y2 = (rounded(each) for each in corners)
        left, top, right, lower = x1 * f(scale), y1 * f(scale), (x2 + f(1)) * f(scale), (y2 + f(1)) * f(scale)
        wide, high = max(right - left, f(0.1)) / f(group), max(lower - top, f(0.1)) / f(group)
        for c in range(dim):
            for i in range(group):
                for j in range(group):
                    rows = np.floor(f(i) * high + top), np.ceil(f(i + 1) * high + top)
                    columns = np.floor(f(j) * wide + left), np.ceil(f(j + 1) * wide + left)
                    channel = (c * group + i) * group + j
                    at = [
                        (int(image), channel, h, w)
                        for h in range(*(int(min(max(each, 0), height)) for each in rows))
                        for w in range(*(int(min(max(each, 0), width)) for each in columns))
                    ]
                    for each in at:
                        y[r, c, i, j] += x[each] / len(at)
                        dx[each] += 1 / len(at)
    return y, dx


@pytest.mark.parametrize("seed", range(8))
def test_it_equals_a_loop_over_positions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dim, group = (int(each) for each in rng.integers(1, 5, 2))
    scale = float(rng.choice([1.0, 0.5, 0.0625, 0.3]))
    x = rng.standard_normal((2, dim * group * group, *rng.integers(1, 16, 2)))
    corners = rng.uniform(-20, 20 / scale, (9, 4))
    corners[::2] = np.round(corners[::2] * 2) / 2
    regions = np.column_stack([rng.integers(0, 2, 9), corners]).astype(np.float32)
    options = {"spatial_scale": scale, "output_dim": dim, "group_size": group}
    y, dx = by_loops(x, regions, dim, group, scale)
    run = run_layer("PSROIPooling", [x, regions], options=options, top_diffs=[np.ones(y.shape)])
    np.testing.assert_allclose(run.tops[0], y, atol=TOLERANCE)
    np.testing.assert_allclose(run.bottom_diffs[0], dx, atol=TOLERANCE)


def test_many_regions_are_averaged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    bottoms = [rng.standard_normal((1, 8, 9, 9)), np.float32([[0, 0, 0, 8, 8], [0, 2, 3, 4, 5], [0, 90, 90, 99, 99]])]
    options = {"spatial_scale": 1.0, "output_dim": 2, "group_size": 2}
    diffs = [rng.standard_normal((3, 2, 2, 2))]
    whole = run_layer("PSROIPooling", bottoms, options=options, top_diffs=diffs)
    monkeypatch.setattr(Engine, "buffer_values", 16)
    split: list[int] = []
    array_split = np.array_split
    monkeypatch.setattr(np, "array_split", lambda array, count: split.append(count) or array_split(array, count))
    parts = run_layer("PSROIPooling", bottoms, options=options, top_diffs=diffs)
    assert split[0] > 1
    np.testing.assert_allclose(parts.tops[0], whole.tops[0], atol=TOLERANCE)
    np.testing.assert_allclose(parts.bottom_diffs[0], whole.bottom_diffs[0], atol=TOLERANCE)


def test_a_wrong_number_of_channels_is_refused() -> None:
    options = {"spatial_scale": 1.0, "output_dim": 2, "group_size": 2}
    with pytest.raises(CafxError, match=r"wrong number of channels: got 9, expected .* = 8"):
        run_layer("PSROIPooling", [np.ones((1, 9, 4, 4)), [[0, 0, 0, 3, 3]]], options=options)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_not_finite_is_refused(scale: float) -> None:
    options = {"spatial_scale": scale, "output_dim": 1, "group_size": 1}
    with pytest.raises(CafxError, match="a finite number"):
        run_layer("PSROIPooling", [np.zeros((1, 1, 4, 4)), np.zeros((1, 5))], options=options)
