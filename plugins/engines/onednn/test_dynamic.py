"""Shapes that change in the middle of a pass: what came before has left for backward what it needs."""

from __future__ import annotations

import pytest

from cafx.conformance.dynamic import BEFORE, difference
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")


@pytest.mark.slow
@pytest.mark.parametrize("before", BEFORE)
def test_gradients_agree_with_numpy_in_every_pass(before: str) -> None:
    assert difference(BEFORE[before], "onednn", tolerance=1e-5) is None
