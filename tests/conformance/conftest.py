"""The stand-in for CUDA, for its own tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cafx.conformance.cuda import Runtime, installed


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with installed() as found:
        yield found


@pytest.fixture
def cp(runtime: Runtime) -> Any:
    import cupy

    return cupy


@pytest.fixture
def stream(cp: Any) -> Any:
    return cp.cuda.Stream(non_blocking=True).use()
