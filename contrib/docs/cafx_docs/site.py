"""Building the site with Sphinx."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cafx.kernel import CafxError
from cafx_docs.paths import GENERATED, PACKAGE

ADDED = {"genindex", "search"}
"""Pages without a source."""


def build_site(
    pages: Path,
    out: Path,
    *,
    strict: bool = True,
    run_gallery: bool = True,
    only: Collection[str] = (),
    jobs: int = 2,
    verbose: bool = False,
) -> Path:
    """Build the pages, the catalogues and the API reference as HTML.

    Args:
        pages: folder of the sources; a folder ``gallery`` beside it holds examples.
        out: folder for the result; its ``html`` is the site.
        strict: treat warnings as errors.
        run_gallery: run the gallery's examples, those that have changed.
        only: pages to generate, such as ``layers/relu`` and ``api/cafx.dsl``; all if empty.
        jobs: number of processes.
        verbose: print what Sphinx does.

    Returns:
        The folder of the site.

    Raises:
        CafxError: there is no such folder, or the build failed.
    """
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError
    from sphinx.util.console import nocolor
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    require_pages(pages)
    nocolor()
    html, status = out / "html", sys.stderr if verbose else None
    settings = {"cafx_docs_only": sorted(only), **_gallery(pages, run_gallery)}
    try:
        with patch_docutils(str(PACKAGE)), docutils_namespace():
            folders = (pages, PACKAGE, html, out / "doctrees")
            sphinx = Sphinx(*folders, "html", settings, status, sys.stderr, warningiserror=strict, parallel=jobs)
            sphinx.build()
    except SphinxError as error:
        raise CafxError(f"the documentation cannot be built: {error}", where=str(pages)) from error
    if sphinx.statuscode:
        raise CafxError("the documentation has warnings", where=str(pages), remedy="correct them, or pass --no-strict")
    _remove_stale(html, sphinx.env.found_docs)
    return html


def _remove_stale(html: Path, pages: Collection[str]) -> None:
    """Remove pages of earlier builds."""
    for path in html.rglob("*.html"):
        name = path.relative_to(html).with_suffix("").as_posix()
        if name not in pages and name not in ADDED and not name.startswith("_"):
            path.unlink()


def _gallery(pages: Path, run: bool) -> dict[str, Any]:
    """Settings of sphinx-gallery, if there is a gallery."""
    folder = pages.parent / "gallery"
    if not folder.is_dir():
        return {}
    from cafx_docs.conf import extensions

    gallery = {
        "examples_dirs": [str(folder)],
        "gallery_dirs": ["gallery"],
        "filename_pattern": r"plot_",
        "abort_on_example_error": True,
        "only_warn_on_example_error": False,
        "download_all_examples": False,
        "show_memory": False,
        "show_signature": False,
        "write_computation_times": False,
        "plot_gallery": "True" if run else "False",
    }
    return {"extensions": [*extensions, "sphinx_gallery.gen_gallery"], "sphinx_gallery_conf": gallery}


def sources(pages: Path) -> list[Path]:
    """The Markdown files among the pages that people wrote.

    Args:
        pages: folder of the sources.

    Raises:
        CafxError: there is no such folder.
    """
    require_pages(pages)
    return sorted(path for path in pages.rglob("*.md") if path.relative_to(pages).parts[0] not in GENERATED)


def require_pages(pages: Path) -> None:
    """Check that a folder holds the pages of a site.

    Raises:
        CafxError: it has no ``index.md``.
    """
    if not (pages / "index.md").is_file():
        raise CafxError(
            "no documentation",
            where=str(pages),
            expected="a folder with an index.md",
            remedy="run cafx-docs in a clone of cafx, or pass --pages DIR",
        )
