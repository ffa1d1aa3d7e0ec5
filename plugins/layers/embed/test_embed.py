"""Embed beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestEmbed = layer_suite("Embed")


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(CafxError, match="out of range"):
        run_layer("Embed", [np.array([0.0, index])], options={"input_dim": 3, "num_output": 2})
