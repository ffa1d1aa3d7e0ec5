"""The checks of a built site find what is wrong with it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cafx.kernel import CafxError
from cafx_docs.links import problems


def site(folder: Path, body: str, **pages: str) -> Path:
    (folder / "index.html").write_text(f"<html><body>{body}</body></html>", "utf-8")
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize(
    "body",
    [
        '<a href="other.html">x</a>',
        '<a href="other.html#there">x</a>',
        '<a href="#here">x</a><p id="here">',
        '<a href="https://example.org/">x</a>',
        '<a href="mailto:someone@example.org">x</a>',
        '<img src="data:image/png;base64,AA==">',
        '<link rel="next" href="other.html">',
        '<link rel="canonical" href="https://example.org/">',
        '<a href="other%2Ehtml?q=1">x</a>',
    ],
)
def test_good_links_are_no_problem(tmp_path: Path, body: str) -> None:
    assert problems(site(tmp_path, body, other='<p id="there">')) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<script src="https://example.org/a.js"></script>', "from another server"),
        ('<script src="//example.org/a.js"></script>', "from another server"),
        ('<img src="http://example.org/a.png">', "from another server"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "from another server"),
        ('<iframe src="https://example.org/"></iframe>', "from another server"),
        ('<img src="missing.png">', "loads missing.png, which does not exist"),
        ('<a href="missing.html">x</a>', "links to missing.html, which does not exist"),
        ('<a href="other.html#nowhere">x</a>', "other.html has no #nowhere"),
        ('<a href="#nowhere">x</a>', "index.html has no #nowhere"),
    ],
)
def test_each_wrong_link_is_a_problem(tmp_path: Path, body: str, problem: str) -> None:
    [found] = problems(site(tmp_path, body, other='<p id="there">'))
    assert found.startswith("index.html: ")
    assert problem in found


def test_a_site_that_is_not_built_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match=r"not built.*cafx-docs build"):
        problems(tmp_path)
