"""Examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import sys

import pytest

import cafx.dsl


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(cafx.dsl.__path__)])
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    assert doctest.testmod(importlib.import_module(f"cafx.dsl.{name}")).failed == 0
