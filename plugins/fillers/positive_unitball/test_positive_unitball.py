"""positive_unitball: sums and signs."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter
from cafx_filler_positive_unitball import PositiveUnitball


@pytest.mark.parametrize("shape", [(30, 50), (4, 3, 5, 5), (7,), (0, 3)])
def test_each_unit_sums_to_one(shape: tuple[int, ...]) -> None:
    values = PositiveUnitball(FillerParameter(type="positive_unitball")).fill(shape, np.random.default_rng(1))
    assert values.shape == shape
    assert (values > 0).all()
    sums = values.sum(axis=tuple(range(1, len(shape))))
    np.testing.assert_allclose(sums, np.ones(shape[0]))


def test_a_scalar_is_refused() -> None:
    with pytest.raises(CafxError, match="scalar"):
        PositiveUnitball(FillerParameter(type="positive_unitball")).fill((), np.random.default_rng(1))
