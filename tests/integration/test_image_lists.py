"""Lists of images: labels as Caffe reads them, and what a line or root_folder lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cafx.conformance.nets import net_of_text
from cafx.kernel import TEST, CafxError
from cafx_lib_feed.images import encode
from cafx_lib_feed.lists import read_list

IMAGE = encode(np.zeros((4, 5, 3), np.uint8), ".png", "")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with ``my a.png``."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "my a.png").write_bytes(IMAGE)
    return folder


def labels(listed: Path, root: str, batch: int = 1) -> list[float]:
    """The labels of the first batch."""
    text = (
        f'layer {{ name: "d" type: "ImageData" top: "data" top: "label" image_data_param {{ '
        f'source: "{listed}" root_folder: "{root}" batch_size: {batch} }} }}'
    )
    with net_of_text(text, TEST, engine="numpy") as net:
        net.run_forward()
        values: list[float] = net.blobs["label"].host().tolist()
        return values


@pytest.mark.parametrize(
    ("line", "label"),
    [("my a.png 3", 3), ("my a.png -1", -1), ("my a.png 1.0", 1), ("my a.png  2\r", 2), ("\ufeffmy a.png 4", 4)],
)
def test_labels_are_whole_numbers(images: Path, line: str, label: int) -> None:
    listed = images / "list.txt"
    listed.write_text(f"{line}\n", "utf-8")
    assert labels(listed, f"{images}/") == [label]


@pytest.mark.parametrize(
    ("line", "phrases"),
    [
        ("my a.png,1", ("by a comma", "write: my a.png 1")),
        ("my a.png;1", ("by a semicolon", "write: my a.png 1")),
        ("my a.png\t1", ("by a tab", "write: my a.png 1")),
        ("my a.png , 1.5", ("by a comma",)),
        ("my a.png 0.75", ("not a whole number, 0.75", "HDF5Data")),
        ("my a.png nan", ("has no label", "PATH LABEL")),
        ("my_a.png", ("has no label", "write: my_a.png 0")),
        ("7", ("has a label but no path",)),
    ],
)
def test_a_line_that_is_no_path_and_label_is_explained(tmp_path: Path, line: str, phrases: tuple[str, ...]) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"good.png 0\n{line}\n")
    with pytest.raises(CafxError) as caught:
        read_list(str(listed))
    assert f"{listed}:2" in str(caught.value)
    for phrase in phrases:
        assert phrase in str(caught.value)


@pytest.mark.parametrize(
    ("line", "root", "phrase"),
    [
        ("my a.png 1", "", "end it with /"),
        ("my a.png 4 5 1", "/", "several labels (4 5 and the last one)"),
        ("images\\my a.png 1", "/../", "separated by /"),
        ("none.png 1", "/", "check the list"),
    ],
)
def test_a_missing_image_is_explained(images: Path, line: str, root: str, phrase: str) -> None:
    listed = images / "list.txt"
    listed.write_text(f"{line}\n")
    with pytest.raises(CafxError) as caught:
        labels(listed, f"{images}{root}")
    assert phrase in str(caught.value)


def test_an_image_or_database_in_place_of_a_list_is_named(images: Path) -> None:
    with pytest.raises(CafxError, match=r"is not a list of images: got an image.*write .*a.png into a text file"):
        read_list(str(images / "my a.png"))
    (images / "data.mdb").touch()
    with pytest.raises(CafxError, match=r"got an LMDB database.*Data layer with backend: LMDB"):
        read_list(str(images))


def test_a_row_of_numbers_behind_a_missing_image_is_explained_at_once(images: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("none.png " + "74709551616 " * 40 + "} 1\n")
    with pytest.raises(CafxError, match="none"):
        labels(listed, f"{images}/")
