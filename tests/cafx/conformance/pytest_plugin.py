"""The pytest plugin: failed checks show their advice, and ``shared`` is the folder of reference data."""

from __future__ import annotations

import os
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


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Show the advice of a failed check instead of a traceback."""
    outcome = yield
    report = outcome.get_result()
    error = call.excinfo.value if call.excinfo else None
    if report.failed and type(error).__name__ == "CheckFailure":
        report.longrepr = f"{item.name}: {error}"
