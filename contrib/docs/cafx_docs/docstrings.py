"""Docstrings as Sphinx reads them: what reStructuredText would take for markup is escaped, and references are exact."""

from __future__ import annotations

import builtins
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

CODE = re.compile(r"(``.+?``|`[^`]+`)")
PROMPT = (">>> ", "... ")


def escape(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escape a docstring's lines in place; the arguments are those of ``autodoc-process-docstring``."""
    lines[:] = [line if line.lstrip().startswith(PROMPT) else escaped(line) for line in lines]


def escaped(line: str) -> str:
    """A line of a docstring whose code spans alone are markup.

    >>> print(escaped("|x| of the `Bottom`s in ``a|b``"))
    \\|x\\| of the `Bottom`\\ s in ``a|b``
    """
    parts = CODE.split(line)
    for index, part in enumerate(parts):
        if index % 2 == 0:
            parts[index] = part.replace("|", r"\|")
        elif not part.startswith("``") and re.match(r"\w", parts[index + 1]):
            parts[index] = rf"{part}\ "
    return "".join(parts)


def make_exact(app: Sphinx, tree: nodes.document) -> None:
    """Let the names in annotations refer to that name only: builtins to nothing, others to no namesake."""
    for reference in list(tree.findall(pending_xref)):
        if reference.get("refspecific") is False:
            del reference["refspecific"]
        if reference.get("refdomain") == "py" and reference.get("reftarget") in vars(builtins):
            reference.replace_self(nodes.Text(reference["reftarget"]))
