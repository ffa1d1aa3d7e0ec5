"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("kernel", "dsl", "cli", "plugins", "contrib", "tests")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def module_name(path: Path) -> str:
    """The name a module is imported by: its path below the folder of its distribution."""
    distribution = next(folder for folder in path.parents if (folder / "pyproject.toml").is_file())
    parts = path.relative_to(distribution).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def documented_modules() -> list[str]:
    """Every module of every distribution with an example."""
    files = (path for source in SOURCES for path in (ROOT / source).rglob("*.py"))
    sources = (path for path in files if not path.name.startswith(("test_", "conftest")))
    return sorted(module_name(path) for path in sources if ">>> " in path.read_text("utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", documented_modules())
def test_docstring_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert result.attempted
    assert not result.failed
