"""One record of how images become a net's input: its values, JSON, where it is read from, and what it does."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cafx_lib_preprocessing.files
import cafx_lib_preprocessing.reading
import cafx_lib_preprocessing.record
from cafx.kernel import CafxError, schema
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_preprocessing import (
    Converter,
    Preprocessing,
    from_net,
    front_matter,
    read_labels,
    read_mean,
    read_preprocessing,
    resize_image,
)
from cafx_lib_preprocessing.resample import area_positions, interpolation, resize_pixels, smoothing

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
TINY = 1e-5


def numbers(count: int) -> st.SearchStrategy[tuple[float, ...]]:
    """As many finite numbers, or one."""
    one = st.floats(-1e6, 1e6, width=32)
    return st.lists(one, min_size=1, max_size=1).map(tuple) | st.lists(one, min_size=count, max_size=count).map(tuple)


SIZES = st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999))
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)


@st.composite
def records(draw: st.DrawFn) -> Preprocessing:
    """Records of all kinds."""
    channels = draw(st.sampled_from(["BGR", "RGB", "gray"]))
    depth = 1 if channels == "gray" else 3
    return Preprocessing(
        draw(SIZES),
        draw(SIZES),
        draw(st.sampled_from(["antialias", "bilinear"])),
        channels,
        draw(st.none() | numbers(depth) | st.just("mean.npy")),
        draw(st.floats(-10, 10, width=32) | numbers(depth)),
        draw(st.sampled_from(["CHW", "HWC"])),
        draw(st.none() | st.just("labels.txt") | st.lists(NAMES, max_size=4).map(tuple)),
        draw(st.booleans()),
    )


@pytest.mark.slow
@given(records())
@settings(deadline=None)
def test_a_record_survives_json(record: Preprocessing) -> None:
    assert Preprocessing.from_json(record.to_json()) == record
    assert "\n" not in record.describe()


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.sampled_from([each.name for each in attrs.fields(Preprocessing)])


@given(st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)))
@settings(deadline=None)
def test_any_json_is_a_record_or_a_clear_error(values: Any) -> None:
    try:
        told = Preprocessing.from_json(json.dumps(values)).describe()
    except CafxError as error:
        told = str(error)
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is not a preprocessing record: got list"),
        ('{"sise": [1, 2]}', "did you mean 'size'"),
        ('{"size": [1, 99999]}', "size is out of range"),
        ('{"size": [1, 1.5]}', "size is not a height and a width"),
        ('{"mean": [1, 2]}', "wrong number of values of mean: got 2, expected 1 or 3"),
        ('{"mean": [1, NaN, 2]}', "not finite"),
        ('{"scale": 1e999}', "not finite"),
        ('{"scale": true}', "not finite numbers"),
        ('{"mean": "../m.npy"}', "mean is not a file of its folder"),
        ('{"labels": "/etc/passwd"}', "labels is not a file of its folder"),
        ('{"labels": "link/hosts"}', "leads out of its folder"),
        ('{"crop": [1, 1], "crop": [2, 2]}', "occurs twice"),
        ('{"oversample": 1}', "neither true nor false"),
        ('{"cafx_preprocessing": 2}', "unknown version"),
        ("[" * 100_000, "not JSON"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_record_is_told_with_its_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(CafxError, match=message) as error:
        read_preprocessing(tmp_path / "p.json")
    assert str(error.value).startswith(f"{tmp_path}/p.json: ")


def test_files_are_named_relative_to_the_record(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    record = Preprocessing(labels=str(tmp_path / "labels.txt"))
    (tmp_path / "p.json").write_text(record.to_json(tmp_path))
    assert json.loads(record.to_json(tmp_path))["labels"] == "labels.txt"
    assert read_preprocessing(tmp_path / "p.json").names(2) == ["a", "b"]
    with pytest.raises(CafxError, match="outside of the folder"):
        record.to_json(tmp_path / "deep")
    with pytest.raises(CafxError, match="got 2, expected 3, one per class"):
        record.names(3)
    with pytest.raises(CafxError, match="in memory"):
        Preprocessing(mean=np.zeros((3, 4, 5), np.float32)).to_json()


def test_the_steps_are_those_described() -> None:
    record = Preprocessing((9, 12), (5, 6), mean=(1.0, 2.0, 3.0), scale=0.5)
    expected = (IMAGE[2:7, 3:9].astype(np.float32) - (1, 2, 3)) * 0.5
    np.testing.assert_array_equal(record.apply(IMAGE), expected.transpose(2, 0, 1)[None])
    rgb = attrs.evolve(record, channels="RGB", layout="HWC", mean=(3.0, 2.0, 1.0))
    np.testing.assert_array_equal(rgb.apply(IMAGE), expected[None, :, :, ::-1])
    per_channel = attrs.evolve(record, scale=(1.0, 2.0, 4.0)).apply(IMAGE)
    np.testing.assert_allclose(per_channel, record.apply(IMAGE) * np.reshape([2, 4, 8], (3, 1, 1)), rtol=TINY)


def test_ten_crops_are_corners_centre_and_their_mirror_images() -> None:
    crops = Preprocessing(crop=(5, 6), oversample=True).apply(IMAGE).transpose(0, 2, 3, 1)
    places = [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]
    for number, (y, x) in enumerate(places):
        np.testing.assert_array_equal(crops[number], IMAGE[y : y + 5, x : x + 6])
        np.testing.assert_array_equal(crops[number + 5], IMAGE[y : y + 5, x : x + 6][:, ::-1])
    with pytest.raises(CafxError, match="smaller than the crops"):
        Preprocessing(size=(4, 12), crop=(5, 6)).apply(IMAGE)


def test_grey_and_transparent_images_get_the_channels_of_the_net() -> None:
    grey = IMAGE[:, :, :1]
    colour = Preprocessing(crop=(9, 12)).apply(grey)
    np.testing.assert_array_equal(colour, np.repeat(grey.transpose(2, 0, 1)[None], 3, axis=1))
    alpha = np.concatenate([IMAGE, grey], axis=2)
    np.testing.assert_array_equal(Preprocessing().apply(alpha), Preprocessing().apply(IMAGE))
    one = Preprocessing(channels="gray").apply(IMAGE)
    np.testing.assert_allclose(one[0, 0], IMAGE @ [0.114, 0.587, 0.299], atol=0.51)


def test_a_smooth_resize_equals_the_product_of_whole_matrices() -> None:
    image = np.random.default_rng(1).random((100, 81, 3))
    rows, columns = (
        interpolation(before, area_positions(before, after), 1, zero_outside=True)
        @ smoothing(before, (before / after - 1) / 2)
        for before, after in ((100, 7), (81, 30))
    )
    expected = np.einsum("ij,jkc,lk->ilc", rows, image, columns)
    np.testing.assert_allclose(resize_pixels(image, (7, 30), 1), expected, atol=1e-14)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_resizing_stays_within_the_range_of_the_image(height: int, width: int, rows: int, columns: int) -> None:
    image = np.random.default_rng(height).integers(3, 200, (height, width, 3), dtype=np.uint8)
    resized = resize_image(image, (rows, columns))
    assert resized.shape == (rows, columns, 3)
    assert image.min() - TINY <= resized.min()
    assert resized.max() <= image.max() + 1e-4


def test_the_input_decides_what_a_record_leaves_open() -> None:
    record = Preprocessing(size=(20, 20)).for_input((1, 3, 8, 9))
    assert (record.crop, record.channels) == ((8, 9), "BGR")
    assert Preprocessing().for_input((1, 1, 8, 9)).channels == "gray"
    assert Preprocessing(mean=(7.0, 7.0, 7.0)).for_input((1, 1, 8, 9)).mean == (7.0,)
    with pytest.raises(CafxError, match="other channels: got 4, expected 3"):
        Preprocessing().for_input((1, 4, 8, 9))
    with pytest.raises(CafxError, match="crops are not of the size"):
        Preprocessing(crop=(7, 7)).for_input((1, 3, 8, 9))


TRAIN_VAL = """
layer { name: "d" type: "Data" top: "d" include { phase: TRAIN }
        transform_param { scale: 7 } data_param { source: "a" } }
layer { name: "d" type: "%s" top: "d" include { phase: TEST }
        transform_param { crop_size: 4 mean_value: 1 mean_value: 2 mean_value: 3 scale: 0.5 } %s }
"""


@pytest.mark.parametrize(
    ("kind", "options", "size", "channels"),
    [
        ("Data", 'data_param { source: "b" }', None, "BGR"),
        ("ImageData", "image_data_param { new_height: 6 new_width: 5 }", (6, 5), "BGR"),
    ],
)
def test_a_data_layer_says_what_the_net_was_trained_with(
    kind: str, options: str, size: tuple[int, int] | None, channels: str, tmp_path: Path
) -> None:
    (tmp_path / "train_val.prototxt").write_text(TRAIN_VAL % (kind, options))
    expected = Preprocessing(size, (4, 4), "bilinear", channels, (1, 2, 3), 0.5)
    assert read_preprocessing(tmp_path / "train_val.prototxt") == expected


def test_a_deploy_net_says_its_size_and_no_net_without_images_says_anything() -> None:
    def read(text: str) -> Preprocessing:
        return from_net(schema().parse_text(text, "NetParameter"))

    assert read('input: "data" input_dim: 1 input_dim: 1 input_dim: 5 input_dim: 6') == Preprocessing(
        crop=(5, 6), channels="gray"
    )
    with pytest.raises(CafxError, match="no layer that reads images"):
        read('layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } } }')
    with pytest.raises(CafxError, match=r"layer 'd' \(ImageData\): preprocessing: wrong number of values of mean"):
        read('layer { name: "d" type: "ImageData" top: "d" transform_param { mean_value: 1 mean_value: 2 } }')


CARD = "---\nname: Colours\npreprocessing:\n  mean: [1, 2, 3]\n  labels: l.txt\n---\n# Colours\n"


def test_a_model_s_folder_says_it_by_a_record_a_card_or_usual_names(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="says nothing about preprocessing"):
        read_preprocessing(tmp_path)
    (tmp_path / "labels.txt").write_text("x\ny\n")
    np.save(tmp_path / "mean.npy", np.ones(3))
    assert read_preprocessing(tmp_path).mean == str(tmp_path / "mean.npy")
    (tmp_path / "readme.md").write_text("# no front matter\n")
    assert read_preprocessing(tmp_path).names() == ["x", "y"]
    (tmp_path / "readme.md").write_text(CARD)
    assert read_preprocessing(tmp_path) == Preprocessing(mean=(1, 2, 3), labels=str(tmp_path / "l.txt"))
    (tmp_path / "preprocessing.json").write_text('{"scale": 2}')
    assert read_preprocessing(tmp_path).scale == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\na: &a [1]\nb: [*a, *a]\n---\n", "refers to parts of itself"),
        ("---\n- 1\n---\n", "no object"),
        ("---\na: [\n---\n", "not YAML"),
        ("---\na: !!python/object/apply:os.system [ls]\n---\n", "not YAML"),
    ],
)
def test_front_matter_may_come_from_anybody(text: str, message: str) -> None:
    with pytest.raises(CafxError, match=message):
        front_matter(text, "readme.md")


def test_the_converter_reads_a_mean_file_once(tmp_path: Path) -> None:
    mean = np.arange(3 * 9 * 12, dtype=np.float32).reshape(3, 9, 12)
    np.save(tmp_path / "m.npy", mean)
    converter = Converter(Preprocessing((9, 12), (9, 12), mean=str(tmp_path / "m.npy")))
    (tmp_path / "m.npy").unlink()
    np.testing.assert_array_equal(converter.apply(IMAGE)[0], IMAGE.transpose(2, 0, 1) - mean)


def test_examples_run() -> None:
    for module in (cafx_lib_preprocessing.files, cafx_lib_preprocessing.reading, cafx_lib_preprocessing.record):
        failed, attempted = doctest.testmod(module)
        assert not failed
        assert attempted


def test_a_mean_image_is_cropped_to_its_centre(tmp_path: Path) -> None:
    mean = np.arange(3 * 6 * 7, dtype=np.float32).reshape(3, 6, 7)
    np.save(tmp_path / "m.npy", mean)
    write_binaryproto(tmp_path / "m.binaryproto", mean[None])
    for name in ("m.npy", "m.binaryproto"):
        assert (read_mean(str(tmp_path / name), (3, 4, 5)) == mean[:, 1:5, 1:6]).all()
    with pytest.raises(CafxError, match="got 3×6×7, expected 3×8×8 or larger"):
        read_mean(str(tmp_path / "m.npy"), (3, 8, 8))
    with pytest.raises(CafxError, match="not a mean"):
        read_mean("1,2", (3, 8, 8))


def test_labels_are_lines(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("n01 tench, fish\ncat\n\n")
    assert read_labels(str(tmp_path / "l.txt")) == ["n01 tench, fish", "cat"]


def test_a_mean_file_from_anybody_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 99999, 99999), }".ljust(117) + "\n"
    (tmp_path / "m.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.encode())
    with pytest.raises(CafxError, match="cannot be read"):
        read_mean(str(tmp_path / "m.npy"), (3, 8, 8))
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(CafxError, match="cannot be read"):
        read_mean(str(tmp_path / "o.npy"), (3, 8, 8))
