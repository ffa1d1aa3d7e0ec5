"""Shapes that change in the middle of a pass: what came before has left for backward what it needs."""

from __future__ import annotations

from typing import Any

import pytest

from cafx.conformance.dynamic import BEFORE, difference


@pytest.mark.slow
@pytest.mark.parametrize("before", BEFORE)
def test_gradients_agree_with_numpy_in_every_pass(before: str, make_engine: Any) -> None:
    assert difference(BEFORE[before], make_engine(), tolerance=1e-5) is None
