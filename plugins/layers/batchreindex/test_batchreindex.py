"""BatchReindex beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestBatchReindex = layer_suite("BatchReindex")


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_beyond_the_batch_is_refused(index: int) -> None:
    with pytest.raises(CafxError, match=rf"got {index}, expected 0 to 2"):
        run_layer("BatchReindex", [np.ones((3, 2)), np.array([0.0, index])])
