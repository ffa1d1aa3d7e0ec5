"""positive_unitball: the checklist of fillers, sums and signs."""

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import FillerParameter
from cafx_filler_positive_unitball import PositiveUnitball

TestPositiveUnitball = plugin_suite("filler", "positive_unitball")


@pytest.mark.parametrize("shape", [(30, 50), (4, 3, 5, 5), (7,), (0, 3)])
def test_each_unit_sums_to_one(shape: tuple[int, ...]) -> None:
    values = PositiveUnitball(FillerParameter(type="positive_unitball")).fill(shape, np.random.default_rng(1))
    assert (values > 0).all()
    sums = values.sum(axis=tuple(range(1, len(shape))))
    np.testing.assert_allclose(sums, np.ones(shape[0]))
