"""Grids of images and files of figures."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import numpy as np
import pytest

import cafx_lib_pictures
from cafx.kernel import CafxError
from cafx_lib_pictures import image_grid, save_figure


def test_examples_run() -> None:
    assert doctest.testmod(cafx_lib_pictures).failed == 0


def test_a_grid_keeps_channels_and_dtype() -> None:
    grid = image_grid([np.full((2, 3, 3), value, np.uint8) for value in range(3)], columns=2)
    assert (grid.shape, grid.dtype) == ((4, 6, 3), np.uint8)
    assert grid[2:, 3:].min() == 255


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(CafxError, match=r"the extra cafx\[plots\] .*install it with: .*pictures\S*\[plots\]"):
        cafx_lib_pictures.matplotlib("figure")


def test_an_unknown_format_is_refused_before_a_file_is_written(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    with pytest.raises(CafxError, match=r"unsupported picture format"):
        save_figure(figure, tmp_path / "figure.xyz", dpi=50)
    assert not list(tmp_path.iterdir())
    save_figure(figure, tmp_path / "figure.png", dpi=50)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
