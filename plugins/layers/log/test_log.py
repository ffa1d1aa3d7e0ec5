"""What the shared suite cannot know of Log."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestLog = layer_suite("Log")


def test_powers_of_ten() -> None:
    run = run_layer("Log", [np.array([0.0, 0.9, 9.9])], options={"base": 10.0, "scale": 10.0, "shift": 1.0})
    np.testing.assert_allclose(run.tops[0], [0, 1, 2], atol=1e-6)


@pytest.mark.parametrize("base", [0.0, 1.0, -2.0])
def test_other_bases_are_refused(base: float) -> None:
    with pytest.raises(CafxError, match="base"):
        run_layer("Log", [np.ones(3)], options={"base": base})
