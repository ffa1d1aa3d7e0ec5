"""The stand-in for CUDA in the GPU's place, for a whole process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

CUDA_VERSION = 13000


class StandInDriver:
    """A driver's library that shows one GPU."""

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802 - CUDA's name
        """Write CUDA's version."""
        version._obj.value = CUDA_VERSION
        return 0

    def cuInit(self, flags: int) -> int:  # noqa: N802 - CUDA's name
        """Nothing to do."""
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802 - CUDA's name
        """Write the number of GPUs."""
        count._obj.value = 1
        return 0


@contextmanager
def standing_in() -> Iterator[None]:
    """Let this process find a GPU that does not exist."""
    from cafx.conformance.cuda import available, installed
    from cafx_engine_cupy import driver

    reason = available()
    if reason:
        raise SystemExit(f"no rehearsal: {reason}")
    driver.find_driver.cache_clear()
    with installed(), mock.patch.object(driver, "load_library", StandInDriver):
        yield
