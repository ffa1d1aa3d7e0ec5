"""A small site, built strictly: generated pages of every kind, a gallery, links; and what a failing build says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cafx.kernel import CafxError
from cafx_docs.links import problems
from cafx_docs.site import build_site

pytestmark = pytest.mark.filterwarnings("ignore::sphinx.deprecation.RemovedInSphinx11Warning")
NAMES = """
    layers/relu losses/hingeloss data/data databases/lmdb solvers/adam policies/step
    fillers/xavier engines/numpy engines/onednn engines/cupy engines/cudnn monitors/metrics
    formats/hdf5 commands/net models/nin dialects/ssd upgrades/legacy communicators/mpi
    executors/local sources/hf api/cafx.dsl
"""
ONE_PER_KIND = NAMES.split()
INDEX = """# Site

$y = \\max(0, x)$, [ReLU](catalogue/layers/relu.md), [the filler](catalogue/messages.md#fillerparameter).

$$
\\sum_i x_i
$$

```{toctree}
catalogue/index
api/index
project/index
applications/index
onnx
changelog
robustness
gallery/index
```
"""
EXAMPLE = '''"""
A plot
======
"""

import matplotlib.pyplot as plt

plt.plot([1, 4, 9])
print("drawn", 3)
'''


def sources(folder: Path, index: str = INDEX, example: str = EXAMPLE) -> Path:
    """A folder of pages with a gallery beside it."""
    (folder / "pages").mkdir()
    (folder / "gallery").mkdir()
    (folder / "pages/index.md").write_text(index, "utf-8")
    for name in ("onnx", "changelog", "robustness"):
        (folder / f"pages/{name}.md").write_text(f"# {name}\n", "utf-8")
    (folder / "gallery/README.rst").write_text("Gallery\n=======\n", "utf-8")
    (folder / "gallery/plot_squares.py").write_text(example, "utf-8")
    return folder / "pages"


@pytest.mark.slow
def test_a_page_of_each_kind_builds_without_warnings_or_broken_links(tmp_path: Path) -> None:
    site = build_site(sources(tmp_path), tmp_path / "out", only=ONE_PER_KIND)
    assert problems(site) == []
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    generated = {name if name.startswith("api/") else f"catalogue/{name}" for name in ONE_PER_KIND}
    assert built >= {
        *generated,
        "index",
        "search",
        "catalogue/messages",
        "project/contributing",
        "gallery/plot_squares",
    }
    index = (site / "index.html").read_text("utf-8")
    assert index.count("<math") == 2
    assert 'catalogue/messages.html#fillerparameter"' in index
    relu = (site / "catalogue/layers/relu.html").read_text("utf-8")
    assert 'alt="y and dy/dx of ReLU' in relu
    assert "hingeloss" in (site / "searchindex.js").read_text("utf-8")
    page = (site / "gallery/plot_squares.html").read_text("utf-8")
    assert "drawn 3" in page
    [notebook] = site.rglob("plot_squares.ipynb")
    assert any("plt.plot" in "".join(cell["source"]) for cell in json.loads(notebook.read_text("utf-8"))["cells"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "example", "said"),
    [
        ("# Site\n\n[gone](gone.md)\n", EXAMPLE, "has warnings"),
        (INDEX, f"{EXAMPLE}\n1 / 0\n", "ZeroDivisionError|has warnings|cannot be built"),
    ],
    ids=["broken link", "example that fails"],
)
def test_what_is_wrong_stops_a_build(tmp_path: Path, index: str, example: str, said: str) -> None:
    with pytest.raises(CafxError, match=said):
        build_site(sources(tmp_path, index, example), tmp_path / "out", only=ONE_PER_KIND[:1])


def test_a_folder_without_pages_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match=r"no documentation.*index.md"):
        build_site(tmp_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
