"""Examples in docstrings of the kernel run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import cafx.kernel

MODULES = [module.name for module in pkgutil.walk_packages(cafx.kernel.__path__, "cafx.kernel.")]


@pytest.mark.parametrize("name", ["cafx.kernel", *MODULES])
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
