"""resize-images: the same tree, resized, or nothing."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cafx_command_resize_images
from cafx.conformance import plugin_suite
from cafx.kernel import CafxError
from cafx_command_resize_images import find_tree, resize_images, resized
from cafx_lib_feed.images import encode, read_image

TestResizeImages = plugin_suite("command", "resize-images")

HERE = ("--executor", "local", "--workers", "1")


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(resize_images, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(70):
        folder = tmp_path / f"in/n{number % 3}/deep er"
        folder.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (20 + number % 5, 30, 3), dtype=np.uint8)
        suffix = (".png", ".JPEG", ".jpg")[number % 3]
        (folder / f"{number:03d}{suffix}").write_bytes(encode(image, suffix.lower(), ""))
    (tmp_path / "in/notes.txt").write_text("no image")
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def test_examples() -> None:
    assert doctest.testmod(cafx_command_resize_images).failed == 0


@pytest.mark.parametrize("mode", ["stretch", "crop", "short"])
def test_the_tree_is_the_same_and_the_images_are_resized(mode: str, tree: Path) -> None:
    assert "70 images written" in run(tree / "in", tree / "out", "--size", "10x8", "--mode", mode, *HERE)
    assert names(tree / "out") == [name for name in names(tree / "in") if name != "notes.txt"]
    for name in names(tree / "out"):
        image = read_image(tree / "out" / name)
        assert image.shape[0] >= 10
        assert image.shape[1] >= 8
        assert mode == "short" or image.shape == (10, 8, 3)
        if name.endswith(".png"):
            np.testing.assert_array_equal(image, resized(read_image(tree / "in" / name), 10, 8, mode))
    assert sorted(each.name for each in tree.iterdir()) == ["in", "out"]


@pytest.mark.parametrize(("height", "width"), [(40, 30), (30, 40), (33, 33), (7, 300)])
def test_short_and_crop_keep_proportions(height: int, width: int) -> None:
    image = np.zeros((height, width, 1), np.uint8)
    short = resized(image, 20, 20, "short")
    assert min(short.shape[:2]) == 20
    assert short.shape[0] / short.shape[1] == pytest.approx(height / width, rel=0.05)
    image[:, width // 2 :] = 200
    crop = resized(image, 20, 20, "crop")
    assert crop.shape == (20, 20, 1)
    assert crop[:, :8].max() == 0
    assert crop[:, 12:].min() == 200


@pytest.mark.slow
def test_bad_images_are_skipped_or_stop_and_the_next_run_goes_on(tree: Path) -> None:
    bad = tree / "in" / find_tree(tree / "in")[-1]
    good = bad.read_bytes()
    bad.write_bytes(b"bad")
    output = run(tree / "in", tree / "skipped", *HERE)
    assert "69 images written" in output
    assert f"skipped: image '{bad}' cannot be decoded" in output
    with pytest.raises(CafxError, match="cannot be decoded"):
        run(tree / "in", tree / "out", "--on-bad", "stop", *HERE)
    assert not (tree / "out").exists()
    bad.write_bytes(good)
    output = run(tree / "in", tree / "out", "--on-bad", "stop", *HERE)
    assert "resuming: 2 of 3 slices are finished" in output
    assert not list(tree.glob("*.job"))
    assert names(tree / "out") == [name for name in names(tree / "in") if name != "notes.txt"]


def test_links_to_folders_are_not_followed(tree: Path) -> None:
    (tree / "in/loop").symlink_to(tree / "in")
    assert len(find_tree(tree / "in")) == 70


def test_mistakes_are_told(tree: Path) -> None:
    (tree / "empty").mkdir()
    for source, target, message in (
        ("empty", "out", "no images in this folder"),
        ("nowhere", "out", "nowhere: cannot be read"),
        ("in", "empty", "empty: already exists"),
        ("in", "no/out", "its parent folder does not exist"),
    ):
        with pytest.raises(CafxError, match=message):
            run(tree / source, tree / target, *HERE)
    for size in ("0", "x", "big", "-1x3", "99999x9"):
        done = CliRunner().invoke(resize_images, [str(tree / "in"), str(tree / "out"), f"--size={size}"])
        assert "not a size" in done.output


def test_if_no_image_can_be_read_there_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"bad")
    with pytest.raises(CafxError, match="none of the images can be read"):
        run(tmp_path / "in", tmp_path / "out", *HERE)
    assert not (tmp_path / "out").exists()
