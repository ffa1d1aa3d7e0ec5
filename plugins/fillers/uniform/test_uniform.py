"""uniform: the checklist of fillers, and a range that is filled to its ends."""

import numpy as np

from cafx.conformance import plugin_suite
from cafx.kernel import FillerParameter
from cafx_filler_uniform import Uniform

TestUniform = plugin_suite("filler", "uniform")


def test_values_fill_the_range() -> None:
    options = FillerParameter(type="uniform", min=-2.0, max=0.5)
    values = Uniform(options).fill((200, 300), np.random.default_rng(1))
    assert -2.0 <= values.min() < -1.99
    assert 0.49 < values.max() <= 0.5
