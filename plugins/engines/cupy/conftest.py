"""Fixtures of the engine's tests."""

import pytest

from cafx.kernel import registry


@pytest.fixture
def make_engine(cuda):
    """Makes engines on the stand-in for CUDA."""
    from cafx_engine_cupy import CuPy

    return lambda **settings: CuPy(registry(), **settings)
