"""constant: values and options."""

import numpy as np
import pytest

from cafx.kernel import CafxError, FillerParameter, registry


def test_every_value_is_option_value() -> None:
    filler = registry().load("filler", "constant")(FillerParameter(value=0.1))
    np.testing.assert_array_equal(filler.fill((2, 3), np.random.default_rng(0)), np.full((2, 3), 0.1))


def test_sparse_is_refused() -> None:
    with pytest.raises(CafxError, match="no sparse form"):
        registry().load("filler", "constant")(FillerParameter(sparse=2))
