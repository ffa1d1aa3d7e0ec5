"""What the tests share: where reference material lies that is not part of the repository."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format

from cafx.kernel import registry, schema

SHARED_SETTING = "CAFX_SHARED"
ABSENT = f"the shared reference material is absent: set {SHARED_SETTING} to its folder"


def shared_folder() -> Path | None:
    """The folder CAFX_SHARED names, or ``shared`` beside the repository; None if there is none."""
    stated = os.environ.get(SHARED_SETTING)
    folder = Path(stated) if stated else Path(__file__).resolve().parents[2] / "shared"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material; tests that need it skip where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(ABSENT)
    return folder


@pytest.fixture(scope="session")
def require_plugins() -> Callable[[Path], None]:
    """Skip a test of a prototxt whose layers or old form no installed plugin knows."""

    def require(prototxt: Path) -> None:
        text = prototxt.read_text("utf-8", "replace")
        missing = sorted(layer_types(text) - set(registry().names("layer")))
        if missing:
            pytest.skip(f"no plugin is installed for {', '.join(missing)}")
        old = re.search(r"(?m)^\s*(layers\s*\{|input\s*:|input_shape\s*\{)", text)
        if old and not registry().names("upgrade"):
            pytest.skip("no plugin is installed that upgrades old definitions")

    return require


def layer_types(text: str) -> set[str]:
    """The types of a net's layers, as far as its text can be read."""
    net = schema()["NetParameter"]()
    try:
        text_format.Parse(text, net, allow_unknown_field=True)
    except text_format.ParseError:
        return set()
    return {layer.type for layer in net.layer if layer.type}


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that runs a test once for each of some shared files."""
    config.addinivalue_line(
        "markers", "shared_files(pattern): run with `shared_file` being each shared file of that pattern"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests marked ``shared_files`` once a file, or skip them once where there are no files."""
    marker = metafunc.definition.get_closest_marker("shared_files")
    if marker is None:
        return
    folder = shared_folder()
    files = sorted(folder.glob(marker.args[0])) if folder else []
    if folder and files:
        names = [str(file.relative_to(folder)) for file in files]
        metafunc.parametrize("shared_file", files, ids=names)
    else:
        skipped = pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="absent")
        metafunc.parametrize("shared_file", [skipped])
