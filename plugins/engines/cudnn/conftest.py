"""Fixtures of the engine's tests."""

import pytest

from cafx.conformance import cuda as standin
from cafx.kernel import registry


@pytest.fixture
def cuda():
    """The stand-in for CUDA, installed; the engine must not outlive it."""
    reason = standin.available()
    if reason:
        pytest.skip(reason)
    with standin.installed() as runtime:
        yield runtime


@pytest.fixture
def make_engine(cuda):
    """Makes engines on the stand-in."""
    from cafx_engine_cudnn import CuDNN

    return lambda **settings: CuDNN(registry(), **settings)
