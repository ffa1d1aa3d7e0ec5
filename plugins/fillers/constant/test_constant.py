"""The constant filler."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter, registry


def test_every_value_is_the_same() -> None:
    filler = registry().load("filler", "constant")(FillerParameter(value=0.1))
    np.testing.assert_array_equal(filler.fill((2, 3), np.random.default_rng(0)), np.full((2, 3), 0.1))


def test_it_has_no_sparse_form() -> None:
    with pytest.raises(CafxError, match="no sparse form"):
        registry().load("filler", "constant")(FillerParameter(sparse=2))
