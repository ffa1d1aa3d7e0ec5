"""msra: variance for every fan."""

import numpy as np
import pytest

from cafx.kernel import FillerParameter
from cafx_filler_msra import MSRA


@pytest.mark.parametrize(("norm", "n"), [("FAN_IN", 90), ("FAN_OUT", 1800), ("AVERAGE", 945)])
def test_the_variance_is_two_over_the_fan(norm: str, n: int) -> None:
    options = FillerParameter(type="msra", variance_norm=norm)
    values = MSRA(options).fill((200, 10, 3, 3), np.random.default_rng(1))
    assert np.isclose(values.var(), 2 / n, rtol=0.05)
    assert abs(values.mean()) < 5 * np.sqrt(2 / n / values.size)
