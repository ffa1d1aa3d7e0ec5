"""Fixtures and markers for reference data outside the repository."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format

from cafx.kernel import registry, schema

SHARED_SETTING = "CAFX_SHARED"
LAST_MINUTES = 300
"""Seconds that a process of the tests has after its last test."""
ABSENT = f"no reference data: set {SHARED_SETTING} to their folder"


def shared_folder() -> Path | None:
    """The folder named by CAFX_SHARED, or ``shared`` beside the repository; None if it does not exist."""
    setting = os.environ.get(SHARED_SETTING)
    folder = Path(setting) if setting else Path(__file__).resolve().parents[2] / "shared"
    return folder if folder.is_dir() else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """A process that does not end after its last test is ended, with the stacks of its threads."""
    faulthandler.dump_traceback_later(LAST_MINUTES, exit=True, file=sys.__stderr__)


@pytest.fixture(scope="session")
def require_plugins() -> Callable[[Path], None]:
    """A function that skips the test if a prototxt needs layers or upgrades of plugins that are not installed."""

    def require(prototxt: Path) -> None:
        text = prototxt.read_text("utf-8", "replace")
        missing = sorted(layer_types(text) - set(registry().names("layer")))
        if missing:
            pytest.skip(f"plugins not installed: {', '.join(missing)}")
        old = re.search(r"(?m)^\s*(layers\s*\{|input\s*:|input_shape\s*\{)", text)
        if old and not registry().names("upgrade"):
            pytest.skip("no installed plugin upgrades old definitions")

    return require


def layer_types(text: str) -> set[str]:
    """The layer types in a prototxt; empty if it cannot be parsed."""
    net = schema()["NetParameter"]()
    try:
        text_format.Parse(text, net, allow_unknown_field=True)
    except text_format.ParseError:
        return set()
    return {layer.type for layer in net.layer if layer.type}


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that runs a test once per file of reference data."""
    config.addinivalue_line(
        "markers",
        "shared_files(pattern, slow=regex): run with `shared_file` set to each matching file of the reference data; "
        "those whose path matches `slow` are slow",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests marked ``shared_files`` once per file, or skip them if there are none."""
    marker = metafunc.definition.get_closest_marker("shared_files")
    if marker is None:
        return
    folder = shared_folder()
    files = sorted(folder.glob(marker.args[0])) if folder else []
    if folder and files:
        names = [str(file.relative_to(folder)) for file in files]
        slow = re.compile(marker.kwargs.get("slow", "(?!)"))
        marks = [[pytest.mark.slow] if slow.search(name) else [] for name in names]
        values = [pytest.param(file, marks=marks) for file, marks in zip(files, marks, strict=True)]
        metafunc.parametrize("shared_file", values, ids=names)
    else:
        skipped = pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="absent")
        metafunc.parametrize("shared_file", [skipped])
