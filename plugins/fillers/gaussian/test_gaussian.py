"""gaussian: the checklist of fillers, and the number of values that are kept."""

import numpy as np

from cafx.conformance import plugin_suite
from cafx.kernel import FillerParameter
from cafx_filler_gaussian import Gaussian

ERRORS = 5  # tolerance of a sample moment, in standard errors

TestGaussian = plugin_suite("filler", "gaussian")


def test_sparse_is_the_mean_number_of_weights_per_input() -> None:
    values = Gaussian(FillerParameter(type="gaussian", sparse=5)).fill((50, 4000), np.random.default_rng(1))
    kept = np.count_nonzero(values) / values.size
    assert abs(kept - 0.1) < ERRORS * np.sqrt(0.1 * 0.9 / values.size)
    assert abs(values[values != 0].std() - 1) < 0.05
