"""Features in the plane: what is read, what is refused, and how good the picture is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from cafx.kernel import CafxError
from cafx_command_plot import embedding, plot
from cafx_command_plot.embedding import embed, scatter
from cafx_command_plot.labelled import Labels, read_features, read_labels

CLASSES, PER_CLASS, WIDTH = 4, 30, 40
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)
ROWS = np.random.default_rng(1).standard_normal((len(LABELS), WIDTH)) + 6 * np.eye(CLASSES, WIDTH)[LABELS]


def made(path: Path, **datasets: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return str(path)


@pytest.fixture
def features(tmp_path: Path) -> str:
    return made(tmp_path / "f.h5", features=ROWS.reshape(-1, 10, 2, 2).astype("f4"), label=LABELS.astype("f4"))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(plot, ["embedding", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def agreement(points: Any) -> float:
    """The share of points whose nearest neighbour has their label."""
    distances = ((points[:, None] - points) ** 2).sum(axis=-1)
    np.fill_diagonal(distances, np.inf)
    return float((LABELS[distances.argmin(axis=1)] == LABELS).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("method", "least"), [("tsne", 0.95), ("pca", 0.8)])
def test_classes_that_lie_apart_lie_apart_in_the_plane(method: str, least: float) -> None:
    embedded = embed(ROWS, method)
    assert embedded.points.shape == (len(ROWS), 2)
    assert agreement(embedded.points) >= least
    assert 0.6 < embedded.trustworthiness <= 1
    shuffled = np.random.default_rng(0).permuted(ROWS, axis=0)
    assert agreement(embed(shuffled, method).points) < 0.6


@pytest.mark.slow
def test_the_result_depends_on_the_seed_but_neither_on_scale_nor_on_place() -> None:
    first, again = embed(ROWS, seed=3), embed(ROWS, seed=3)
    np.testing.assert_array_equal(first.points, again.points)
    moved = embed(ROWS * 2.0**400, "pca")
    np.testing.assert_allclose(np.abs(moved.points), np.abs(embed(ROWS, "pca").points), atol=1e-6)
    assert moved.trustworthiness == pytest.approx(embed(ROWS, "pca").trustworthiness, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head"), [("e.png", b"\x89PNG"), ("e.svg", b"<?xml")])
def test_a_picture_and_its_figures(features: str, tmp_path: Path, name: str, head: bytes) -> None:
    out = str(tmp_path / name)
    facts = json.loads(run(features, "--labels", features, "--out", out, "--json", "--method", "pca"))
    assert (facts["rows"], facts["values"], facts["out"]) == (len(ROWS), WIDTH, out)
    assert facts["trustworthiness"] == round(embed(ROWS.astype("f4"), "pca").trustworthiness, 4)
    assert Path(out).read_bytes().startswith(head)
    assert f"trustworthiness {facts['trustworthiness']:.3f}" in run(features, "--out", out, "--method", "pca")


def test_labels_from_a_dataset_from_numbers_and_from_words_are_the_same(features: str, tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(CLASSES)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "numbers.txt").write_text("".join(f"{label}\n" for label in LABELS))
    (tmp_path / "list.txt").write_text("".join(f"my images/{label}.png {label}\n" for label in LABELS))
    (tmp_path / "words.txt").write_text("".join(f"{names[label]}\n" for label in LABELS))
    classes = str(tmp_path / "names.txt")
    for found in (
        read_labels(features, len(ROWS), classes),
        read_labels(f"{features}:label", len(ROWS), classes),
        read_labels(str(tmp_path / "numbers.txt"), len(ROWS), classes),
        read_labels(str(tmp_path / "list.txt"), len(ROWS), classes),
        read_labels(str(tmp_path / "words.txt"), len(ROWS)),
    ):
        assert found.names == tuple(names)
        np.testing.assert_array_equal(found.numbers, LABELS)
    assert read_labels(features, len(ROWS)).names == ("0", "1", "2", "3")


def test_more_rows_than_the_limit_are_sampled_with_their_labels(features: str, tmp_path: Path) -> None:
    rows, chosen, total = read_features(features, 50, seed=1)
    assert total == len(ROWS)
    assert len(set(chosen.tolist())) == 50
    assert chosen.max() > 60
    kept = read_labels(features, total).at(chosen)
    np.testing.assert_array_equal(kept.numbers, LABELS[chosen])
    assert Labels(np.array([0, 2, 1]), ("a", "b", "c")).at(np.array([1])).names == ("c",)
    np.testing.assert_allclose(rows, ROWS.astype("f4")[chosen])
    result = CliRunner().invoke(
        plot, ["embedding", features, "--limit", "50", "--out", str(tmp_path / "e.png"), "--method", "pca"]
    )
    assert "a random sample of 50 of 120 rows" in result.stderr
    assert "50 rows of 40 values" in result.stdout


def test_the_legend_shows_names_as_they_are_and_only_a_few(tmp_path: Path) -> None:
    names = ("_under", r"$\frac$", "tab\x1b[2J", "plain")
    figure = Figure()
    scatter(figure.subplots(), embed(ROWS, "pca").points, Labels(LABELS, names))
    figure.savefig(tmp_path / "e.svg")
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert shown == ["_under", r"$\frac$", r"tab\x1b[2J", "plain"]
    many = Figure()
    scatter(many.subplots(), ROWS[:, :2], Labels(np.arange(len(ROWS)), tuple(map(str, range(len(ROWS))))))
    assert many.axes[0].get_legend() is None


WRONG: list[tuple[Callable[[Path], list[str]], str]] = [
    (lambda at: [made(at / "x.h5", a=ROWS, b=ROWS)], r"several datasets can be features.*'a' \(120×40\).*x\.h5:a"),
    (lambda at: [made(at / "x.h5", a=ROWS), "--labels", str(at / "x.h5")], "no labels in it"),
    (lambda at: [made(at / "x.h5", a=ROWS) + ":b"], "'b' cannot be features"),
    (lambda at: [made(at / "x.h5", a=ROWS[:8])], "too few rows.*8.*at least 12"),
    (lambda at: [made(at / "x.h5", a=ROWS * 0 + 1)], "all rows are equal"),
    (lambda at: [made(at / "x.h5", a=spoilt(ROWS, 7))], "'a' is not finite.*row 7"),
    (lambda at: [made(at / "x.h5", a=ROWS), "--perplexity", "120"], "perplexity is too large"),
    (lambda at: [made(at / "x.h5", a=ROWS), "--labels", lines(at, "0\n" * 119)], "119 and 120"),
    (lambda at: [made(at / "x.h5", a=ROWS), "--labels", lines(at, "0\n\n1\n")], r"l\.txt:2: a line is empty"),
    (lambda at: [made(at / "x.h5", a=ROWS, b=LABELS + 0.5), "--labels", f"{at / 'x.h5'}:b"], "that are no labels"),
    (lambda at: [made(at / "x.h5", a=ROWS, b=LABELS), "--labels", str(at / "x.h5"), "--classes", lines(at, "x\ny")],
     r"l\.txt: has no name for a label.*2.*0 to 1"),
    (lambda at: [lines(at, "no HDF5")], r"l\.txt: cannot be read as HDF5"),
    (lambda at: [str(at / "none.h5")], r"none\.h5: cannot be read: No such file"),
]  # fmt: skip


def spoilt(rows: Any, row: int) -> Any:
    changed = rows.copy()
    changed[row, 2] = np.nan
    return changed


def lines(folder: Path, text: str) -> str:
    (folder / "l.txt").write_text(text)
    return str(folder / "l.txt")


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_does_not_fit_is_refused(arguments: Any, message: str, tmp_path: Path) -> None:
    out = tmp_path / "e.png"
    with pytest.raises(CafxError, match=message):
        run(*arguments(tmp_path), "--out", str(out))
    assert not out.exists()


def test_rows_that_take_far_more_memory_than_the_file_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", (100, 1 << 30), "f4", chunks=(1, 1 << 20))
    with pytest.raises(CafxError, match=r"100 rows of 'a' take 400\.0 GiB"):
        run(str(tmp_path / "x.h5"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--method", "pca", "--perplexity", "5"], "--method tsne"), (["--classes", "x"], "needs")],
)
def test_options_that_do_not_fit_are_refused(features: str, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(embedding, [features, *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_without_scikit_learn_the_extra_is_named(features: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(CafxError, match=r"the extra cafx\[embedding\] .*install it with: .*plot\S*\[embedding\]"):
        run(features)


@pytest.mark.slow
def test_the_command_line(features: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cafx.cli", "plot", "embedding", features, "-labels", features]
    for threads in ("1", "2"):
        settings = {**os.environ, "OMP_NUM_THREADS": threads}
        out = ["--out", str(tmp_path / f"{threads}.png")]
        done = subprocess.run([*command, *out], env=settings, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
