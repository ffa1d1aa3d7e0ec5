"""Fixtures of the engine's tests."""

import pytest

from cafx.kernel import registry


@pytest.fixture
def make_engine(cuda):
    """Makes engines on the stand-in for CUDA."""
    from cafx_engine_cudnn import CuDNN

    return lambda **settings: CuDNN(registry(), **settings)
