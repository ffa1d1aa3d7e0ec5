"""Images and their labels stay together, and what is wrong with a list or a file is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import TEST, TRAIN, CafxError, Net, Phase, schema
from cafx_lib_feed.images import encode

GREY, LABELS, PAD = 20, (1, 5, 11), 255
SIZES = ((9, 14), (12, 8), (20, 20))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose pixels are GREY times their labels, of three sizes; also as a list with numbers."""
    folder = tmp_path_factory.mktemp("pairs")
    rng, lines = np.random.default_rng(0), []
    for index, (height, width) in enumerate(SIZES):
        labels = rng.choice(LABELS, (height, width, 1)).astype(np.uint8)
        (folder / f"l{index}.png").write_bytes(encode(labels, ".png", ""))
        (folder / f"i{index}.png").write_bytes(encode(np.repeat(labels * GREY, 3, axis=2), ".png", ""))
        lines.append(f"i{index}.png l{index}.png")
    (folder / "list").write_text("\n\n".join(lines))
    (folder / "numbers").write_text("".join(f"i{index}.png {index + 3}\n" for index in range(3)))
    return folder


def seg(
    folder: Path, transform: str = "", data: str = "batch_size: 3", phase: Phase = TRAIN, source: str = "list"
) -> Net:
    text = f"""layer {{ name: "d" type: "ImageSegData" top: "data" top: "label" top: "dim"
      image_data_param {{ source: "{folder}/{source}" root_folder: "{folder}/" {data} }}
      transform_param {{ {transform} }} }}"""
    return Net(schema().parse_text(text, "NetParameter"), phase, engine="numpy", seed=1)


def dense(folder: Path, transform: str = "", data: str = "", phase: Phase = TRAIN) -> Net:
    text = f"""layer {{ name: "d" type: "DenseImageData" top: "data" top: "label"
      dense_image_data_param {{ source: "{folder}/list" root_folder: "{folder}/" {data} }}
      transform_param {{ {transform} }} }}"""
    return Net(schema().parse_text(text, "NetParameter"), phase, engine="numpy", seed=1)


def batch(net: Net) -> list[np.ndarray[Any, Any]]:
    net.run_forward()
    return [net.blobs[name].host().copy() for name in net.blobs]


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_image_and_labels_are_padded_cropped_and_mirrored_alike(pairs: Path, phase: Phase) -> None:
    transform = "crop_height: 15 crop_width: 10 mirror: true mean_value: 7 scale: 0.5"
    seen = set()
    with seg(pairs, transform, phase=phase) as net:
        for _ in range(6):
            data, labels, dim = batch(net)
            assert data.shape == (3, 3, 15, 10)
            assert labels.shape == (3, 1, 15, 10)
            assert dim.reshape(3, 2).tolist() == [[9, 10], [12, 8], [15, 10]]
            padded = np.repeat(labels == PAD, 3, axis=1)
            expected = np.where(padded, 0, (np.repeat(labels, 3, axis=1) * GREY - 7) * 0.5)
            np.testing.assert_allclose(data, expected)
            assert (labels[0, 0] == PAD).sum() == 6 * 10
            assert (labels[1, 0] == PAD).sum() == 15 * 10 - 12 * 8
            assert (labels[1, 0, 12:] == PAD).all()
            seen.add(labels[2].tobytes())
    assert len(seen) > 2 if phase is TRAIN else len(seen) == 2  # a mirrored image and its original


def test_one_of_the_factors_resizes_image_and_labels(pairs: Path) -> None:
    sizes = set()
    with seg(pairs, "scale_factors: 0.5 scale_factors: 1 scale_factors: 2", "batch_size: 1") as net:
        for step in range(30):
            data, labels, dim = batch(net)
            assert data.shape[2:] == labels.shape[2:]
            assert set(np.unique(labels).tolist()) <= set(LABELS)
            height, width = SIZES[step % 3]
            sizes.add((labels.shape[2] / height, labels.shape[3] / width))
            assert dim.ravel().tolist() == [min(height, labels.shape[2]), min(width, labels.shape[3])]
    assert {(1.0, 1.0), (2.0, 2.0), (0.5, 0.5)} <= sizes


def test_a_number_or_nothing_labels_all_pixels(pairs: Path) -> None:
    numbers = "batch_size: 3 label_type: IMAGE new_height: 5 new_width: 6"
    with seg(pairs, "", numbers, source="numbers") as net:
        labels = batch(net)[1]
        assert (labels == np.array([3, 4, 5]).reshape(3, 1, 1, 1)).all()
    with seg(pairs, "crop_size: 6", "batch_size: 3 label_type: NONE ignore_label: -1") as net:
        assert (batch(net)[1] == -1).all()


def test_dense_images_are_cropped_and_mirrored_with_their_labels(pairs: Path) -> None:
    for transform, data in (("", "crop_height: 7 crop_width: 8 mirror: true"), ("crop_size: 8 mirror: true", "")):
        with dense(pairs, f"{transform} mean_value: 3", f"{data} batch_size: 3 shuffle: true") as net:
            seen = set()
            for _ in range(4):
                values, labels = batch(net)
                np.testing.assert_allclose(values, np.repeat(labels, 3, axis=1) * GREY - 3)
                seen.add(labels.tobytes())
            assert len(seen) == 4


def test_resized_labels_are_labels_of_the_image(pairs: Path) -> None:
    with dense(pairs, "", "new_height: 30 new_width: 31 batch_size: 3") as net:
        labels = batch(net)[1]
        assert labels.shape == (3, 1, 30, 31)
        assert set(np.unique(labels).tolist()) <= set(LABELS)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "the list is empty"),
        ("i0.png", "has no label"),
        ("i0.png l0.png 3", "has more than an image and a label"),
        ("i0.png l1.png", "differ in size"),
        ("i0.png none.png", "none.png' cannot be read"),
        ("i0.png list", "cannot be decoded"),
    ],
)
def test_a_list_that_cannot_be_used_is_an_error(pairs: Path, lines: str, message: str) -> None:
    (pairs / "bad").write_text(lines)
    with pytest.raises(CafxError, match=message):
        seg(pairs, source="bad")


@pytest.mark.parametrize(
    ("transform", "data", "message"),
    [
        ("", "batch_size: 3", "shape mismatch at image"),
        ("crop_height: 3", "", "one side only"),
        ("crop_size: 3 crop_width: 3 crop_height: 3", "", "crop_size contradicts"),
        ("mean_file: 'm'", "", "mean_file is not supported"),
        ("mean_value: 1 mean_value: 2", "", "mean_value does not match"),
        ("", "new_height: 3", "one side only"),
        ("", "rand_skip: 9", "rand_skip is larger"),
        ("", "label_type: IMAGE", "has no label"),
    ],
)
def test_options_that_cannot_be_used_are_an_error(pairs: Path, transform: str, data: str, message: str) -> None:
    with pytest.raises(CafxError, match=message), seg(pairs, transform, data) as net:
        net.run_forward()


def test_a_dense_image_smaller_than_its_crop_is_an_error(pairs: Path) -> None:
    with pytest.raises(CafxError, match="the crop is larger"), dense(pairs, "crop_size: 13", "batch_size: 3") as net:
        net.run_forward()
