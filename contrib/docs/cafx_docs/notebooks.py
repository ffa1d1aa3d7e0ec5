"""The notebooks of the gallery: each has exactly the code of its example, which the build has run."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from cafx.kernel import CafxError

MAGIC = "%"
"""Begins a line that only notebooks understand."""


def check_notebooks(site: Path, gallery: Path) -> int:
    """Compare the code of every notebook with that of its example; returns their number.

    Args:
        site: the folder of the built site.
        gallery: the folder of the examples.

    Raises:
        CafxError: an example has no notebook, or one with other code.
    """
    examples = sorted(gallery.glob("plot_*.py"))
    for example in examples:
        found = sorted(site.rglob(f"{example.stem}.ipynb"))
        if not found:
            raise CafxError("has no notebook in the site", where=str(example))
        if statements(code_of(found[0])) != statements(example.read_text("utf-8")):
            raise CafxError("its notebook has other code", where=str(example), found=str(found[0]))
    return len(examples)


def code_of(notebook: Path) -> str:
    """The code cells of a notebook, one after the other, without lines for notebooks only.

    Args:
        notebook: an .ipynb file.
    """
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return "\n".join(line for line in code.splitlines() if not line.startswith(MAGIC))


def statements(code: str) -> list[str]:
    """The statements of a program without its docstring, independent of layout and comments.

    Example:
        >>> statements("'''Text.'''\\nx = 1  # one") == statements("x  =  1")
        True
    """
    body = ast.parse(code).body
    has_docstring = bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    return [ast.dump(each) for each in body[has_docstring:]]
