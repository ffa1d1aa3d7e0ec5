"""BoxAnnotatorOHEM beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer

TestBoxAnnotatorOHEM = layer_suite("BoxAnnotatorOHEM")


def by_loops(regions: np.ndarray, losses: np.ndarray, count: int) -> np.ndarray:
    """Whether each region is kept, as R-FCN's loop decides."""
    left: dict[int, int] = {}
    kept = np.zeros(len(losses), bool)
    for index in sorted(range(len(losses)), key=lambda each: -losses[each]):
        image = int(regions[index, 0])
        left.setdefault(image, count)
        if left[image] > 0:
            left[image] -= 1
            kept[index] = True
    return kept


@pytest.mark.parametrize("count", [1, 3, 100])
def test_it_keeps_what_a_loop_over_falling_losses_keeps(count: int) -> None:
    rng = np.random.default_rng(count)
    regions = rng.integers(0, 3, (40, 5)).astype(float)
    losses = rng.integers(0, 8, 40).astype(float)
    labels, weights = rng.integers(1, 5, 40).astype(float), rng.uniform(1, 2, (40, 8))
    options = {"roi_per_img": count, "ignore_label": -1}
    run = run_layer("BoxAnnotatorOHEM", [regions, losses, labels, weights], options=options, tops=2)
    kept = by_loops(regions, losses, count)
    np.testing.assert_array_equal(run.tops[0].reshape(-1), np.where(kept, labels, -1))
    np.testing.assert_allclose(run.tops[1].reshape(40, 8), weights * kept[:, None], rtol=1e-6)
