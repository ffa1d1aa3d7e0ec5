"""The logarithm of a base."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

from cafx_lib_logbase import NATURAL, log_base


@pytest.mark.parametrize(("base", "expected"), [(NATURAL, 1.0), (1.0, 0.0), (10.0, math.log(10))])
def test_log_base_is_the_natural_logarithm_of_the_base(base: float, expected: float) -> None:
    layer: Any = SimpleNamespace(options=SimpleNamespace(base=base))
    assert log_base(layer) == expected
