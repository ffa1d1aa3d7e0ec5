"""The Sphinx extension: pages written before pages are read, links to the repository, formulae as MathML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from cafx_docs.docstrings import escape, make_exact
from cafx_docs.mathml import add_mathml
from cafx_docs.paths import REPOSITORY


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    add_mathml(app)
    app.add_config_value("cafx_docs_only", [], "env")
    app.connect("builder-inited", generate)
    app.connect("source-read", relink)
    app.connect("autodoc-process-docstring", escape)
    app.connect("doctree-read", make_exact)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def generate(app: Sphinx) -> None:
    """Write the pages that are made from plugins, modules, applications and the repository's documents."""
    from cafx_docs.api import write_api
    from cafx_docs.applications import write_applications
    from cafx_docs.catalogue import write_catalogue
    from cafx_docs.project import write_project

    pages = Path(app.srcdir)
    write_catalogue(pages / "catalogue", app.config.cafx_docs_only)
    write_api(pages / "api", app.config.cafx_docs_only)
    write_project(pages, REPOSITORY)
    write_applications(pages, REPOSITORY)


def relink(app: Sphinx, name: str, source: list[str]) -> None:
    """Make a page's links to files of the repository work; generated pages have none.

    Args:
        app: Sphinx.
        name: the page.
        source: its text, which is replaced.
    """
    from cafx_docs.project import relinked

    path = Path(app.env.doc2path(name))
    if path.suffix == ".md":
        source[0] = relinked(source[0], path.parent, Path(app.srcdir), REPOSITORY)
