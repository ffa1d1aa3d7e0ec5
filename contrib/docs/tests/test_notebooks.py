"""Notebooks have the code of the examples that were run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cafx.kernel import CafxError
from cafx_docs.notebooks import check_notebooks, statements

EXAMPLE = '"""\nTitle\n=====\n"""\n\n# %%\n# Text.\n\nx = 1  # one\nprint(x)\n'


def site(tmp_path: Path, *cells: str) -> Path:
    """A gallery with one example, and a site with a notebook of these code cells."""
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery/plot_one.py").write_text(EXAMPLE)
    (tmp_path / "site").mkdir()
    text = {"cell_type": "markdown", "source": ["# Title"]}
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    (tmp_path / "site/plot_one.ipynb").write_text(json.dumps({"cells": [text, *code]}))
    return tmp_path


def test_layout_and_lines_for_notebooks_do_not_count(tmp_path: Path) -> None:
    folder = site(tmp_path, "%matplotlib inline", "x = 1", "print( x )")
    assert check_notebooks(folder / "site", folder / "gallery") == 1


@pytest.mark.parametrize("cells", [("x = 2", "print(x)"), ("x = 1",), ("x = 1", "print(x)", "y = 3")])
def test_other_code_is_an_error(tmp_path: Path, cells: tuple[str, ...]) -> None:
    folder = site(tmp_path, *cells)
    with pytest.raises(CafxError, match="other code"):
        check_notebooks(folder / "site", folder / "gallery")


def test_a_missing_notebook_is_an_error(tmp_path: Path) -> None:
    folder = site(tmp_path, "x = 1")
    (folder / "site/plot_one.ipynb").unlink()
    with pytest.raises(CafxError, match="no notebook"):
        check_notebooks(folder / "site", folder / "gallery")


def test_only_a_docstring_at_the_beginning_is_left_out() -> None:
    assert statements("'text'\nx = 1") == statements("x = 1") != statements("x = 1\n'text'")
