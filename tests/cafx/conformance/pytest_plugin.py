"""The pytest plugin: advice of failed checks; crashes raised as they are; fixtures ``shared`` and ``cuda``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED_SETTING = "CAFX_SHARED"


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """The folder of reference data: CAFX_SHARED, or ``shared`` beside the repository."""
    folder = Path(os.environ.get(SHARED_SETTING, pytestconfig.rootpath.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}: set {SHARED_SETTING}")
    return folder


@pytest.fixture
def cuda() -> Iterator[Any]:
    """The stand-in for CUDA, installed: see `cafx.conformance.cuda`. What uses it must not outlive it."""
    from cafx.conformance import cuda as standin

    reason = standin.available()
    if reason:
        pytest.skip(reason)
    with standin.installed() as runtime:
        yield runtime


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Let tests tell the exceptions that a plugin did not mean to raise from those that it did."""
    if "cafx.kernel" not in sys.modules:
        yield
        return
    from cafx.kernel.crash import converted_crashes

    with converted_crashes(False):
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Show the advice of a failed check instead of a traceback."""
    outcome = yield
    report = outcome.get_result()
    error = call.excinfo.value if call.excinfo else None
    if report.failed and type(error).__name__ == "CheckFailure":
        report.longrepr = f"{item.name}: {error}"
