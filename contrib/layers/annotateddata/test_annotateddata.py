"""AnnotatedData passes the conformance suite, names what is wrong, and keeps boxes on their objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite
from cafx.kernel import TRAIN, CafxError, Net, Phase, registry, schema
from cafx_data_annotateddata import samples
from cafx_lib_annotated.records import DIFFICULT_COLUMN, LABEL_COLUMN, record_bytes
from cafx_lib_feed import samples as feed_samples
from cafx_lib_feed.datum import datum_bytes

TestEpochsOfAnnotatedData = plugin_suite("data", "AnnotatedData")

TestAnnotatedData = layer_suite("AnnotatedData")

SIDE = 64
BLURRED = 2.0  # pixels by which interpolation moves an edge
WHOLE = "batch_sampler { max_sample: 1 max_trials: 1 } "
RECIPE = WHOLE + "".join(
    "batch_sampler { sampler { min_scale: 0.3 max_scale: 1 min_aspect_ratio: 0.5 max_aspect_ratio: 2 } "
    f"sample_constraint {{ min_jaccard_overlap: {overlap} }} max_sample: 1 max_trials: 50 }} "
    for overlap in (0.1, 0.3, 0.5, 0.7, 0.9)
)


def prototxt(source: Any, transform: str = "", annotated: str = "", batch: int = 4, tops: str = 'top: "label"') -> str:
    return (
        f'layer {{ name: "d" type: "AnnotatedData" top: "data" {tops} '
        f'data_param {{ source: "{source}" backend: LMDB batch_size: {batch} }} '
        f"annotated_data_param {{ {annotated} }} transform_param {{ {transform} }} }}"
    )


def net(*arguments: Any, phase: Phase = TRAIN, seed: int = 1, **details: Any) -> Net:
    return Net(schema().parse_text(prototxt(*arguments, **details), "NetParameter"), phase, engine="numpy", seed=seed)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey images with one white object each, whose box is annotated."""
    path = tmp_path_factory.mktemp("marked") / "db"
    rng = np.random.default_rng(0)
    items = []
    for index in range(24):
        pixels = np.full((3, 80, 120), 60, np.uint8)
        left, top = rng.integers(0, 80), rng.integers(0, 50)
        width, height = rng.integers(20, 40), rng.integers(15, 30)
        pixels[:, top : top + height, left : left + width] = 255
        box = np.array([left / 120, top / 80, (left + width) / 120, (top + height) / 80])
        row = np.array([[2, 0, *box, 0]], np.float32)
        items.append((b"%04d" % index, record_bytes(datum_bytes(pixels, 0, encoded=False), row)))
    with registry().load("database", "LMDB").create(path) as writer:
        writer.put(items)
    return path


def edges(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The box around the white pixels of an image."""
    ys, xs = np.nonzero(image[0] > 200)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


@pytest.mark.parametrize(
    "transform",
    [
        f"resize_param {{ height: {SIDE} width: {SIDE} interp_mode: NEAREST }} mirror: true",
        f"resize_param {{ height: {SIDE} width: {SIDE} resize_mode: FIT_LARGE_SIZE_AND_PAD }} mirror: true",
        f"resize_param {{ height: {SIDE} width: {SIDE} resize_mode: FIT_SMALL_SIZE }} crop_size: {SIDE}",
        f"expand_param {{ prob: 1 max_expand_ratio: 3 }} resize_param {{ height: {SIDE} width: {SIDE} }} mirror: true",
        "crop_h: 60 crop_w: 70 mirror: true",
    ],
)
@pytest.mark.parametrize("annotated", ["", RECIPE], ids=["whole", "sampled"])
def test_boxes_stay_on_their_objects(marked: Path, transform: str, annotated: str) -> None:
    if "crop_h" in transform and annotated:
        transform += " resize_param { height: 80 width: 120 }"
    found = 0
    with net(marked, transform, annotated) as training:
        for _ in range(12):
            training.run_forward()
            data, rows = training.blobs["data"].host(), training.blobs["label"].host()[0, 0]
            for row in rows[rows[:, 0] >= 0]:
                image = data[int(row[0])]
                height, width = image.shape[1:]
                box = row[3:7] * [width, height, width, height]
                if (box[2:] - box[:2]).min() >= 4:  # thinner parts may vanish when the image shrinks
                    found += 1
                    np.testing.assert_allclose(edges(image), box, atol=BLURRED)
    assert found > 12


def test_equal_seeds_give_equal_batches_and_other_seeds_others(marked: Path) -> None:
    transform = (
        f"distort_param {{ brightness_prob: 1 brightness_delta: 32 }} resize_param {{ height: {SIDE} width: 9 }}"
    )
    batches = []
    for seed in (1, 1, 2):
        with net(marked, transform, RECIPE, seed=seed) as training:
            training.run_forward()
            batches.append(training.blobs["data"].host().copy())
    np.testing.assert_array_equal(batches[0], batches[1])
    assert (batches[0] != batches[2]).any()


@pytest.mark.parametrize(
    ("kind", "transform", "annotated", "message"),
    [
        ((True, True, False), "", "", "shape mismatch at item '00000001'"),
        ((), "crop_size: 9 crop_h: 3 crop_w: 3", "", "crop_size contradicts"),
        ((), "crop_h: 3", "", "one side only"),
        ((), "crop_size: 19", "", "the crop is larger"),
        ((), "resize_param { height: 3 }", "", "needs a height and a width"),
        ((), "distort_param { contrast_lower: 2 contrast_upper: 1 }", "", "contrast_lower is above"),
        ((), "noise_param { saltpepper: true }", "", "saltpepper has no value"),
        ((), "mean_value: 1 mean_value: 2", "", "mean_value does not match"),
        ((), "", "batch_sampler { sampler { min_scale: 0.5 max_scale: 0.2 } }", "min_scale is above"),
        ((), "", "label_map_file: 'none.prototxt'", "none.prototxt"),
    ],
)
def test_an_error_says_what_is_wrong(kind: tuple[bool, ...], transform: str, annotated: str, message: str) -> None:
    source = samples.database(*kind)
    with pytest.raises(CafxError, match=message), net(source, transform, annotated) as training:
        training.run_forward()


def yolo(source: Any, annotated: str = "", transform: str = "", batch: int = 1, count: int = 1) -> list[Any]:
    """Pairs of a batch's images and YOLO's rows."""
    with net(source, transform, f"yolo_data_type: 1 {annotated}", batch=batch) as training:
        found = []
        for _ in range(count):
            training.run_forward()
            found.append((training.blobs["data"].host().copy(), training.blobs["label"].host().copy()))
        return found


def crowd(path: Path, *images: Any) -> Path:
    """A database of grey images with these rows of annotations."""
    datum = datum_bytes(np.full((3, 40, 40), 60, np.uint8), 0, encoded=False)
    with registry().load("database", "LMDB").create(path) as writer:
        writer.put([(b"%04d" % index, record_bytes(datum, rows)) for index, rows in enumerate(images)])
    return path


def annotations(count: int, difficult: tuple[int, ...] = ()) -> np.ndarray[Any, Any]:
    """Boxes of label 3, by position."""
    low = np.random.default_rng(count).uniform(0, 0.5, (count, 2))
    rows = np.concatenate([np.zeros((count, 2)), low, low + 0.25, np.zeros((count, 1))], axis=1).astype(np.float32)
    rows[:, LABEL_COLUMN] = 3
    rows[list(difficult), DIFFICULT_COLUMN] = 1
    return rows


def expected_rows(rows: np.ndarray[Any, Any]) -> list[list[float]]:
    """YOLO's rows, box by box."""
    return [[r[0] - 1, (r[2] + r[4]) / 2, (r[3] + r[5]) / 2, r[4] - r[2], r[5] - r[3]] for r in rows.tolist()]


@pytest.mark.parametrize("with_difficult", [False, True])
def test_yolo_s_rows_are_the_boxes_of_each_image_and_then_zeros(tmp_path: Path, with_difficult: bool) -> None:
    images = [annotations(3, (1,)), annotations(0), annotations(5), annotations(2, (0, 1))]
    source = crowd(tmp_path / "db", *images)
    option = "yolo_data_jitter: 0 " + ("train_diffcult: true" if with_difficult else "")
    (data, labels), (_, empty) = yolo(source, option, batch=4)[0], yolo(crowd(tmp_path / "none", annotations(0)))[0]
    assert (data.shape, labels.shape, empty.shape) == ((4, 3, 40, 40), (4, 1, 300, 5), (1, 1, 300, 5))
    assert not empty.any()
    for rows, found in zip(images, labels[:, 0], strict=True):
        kept = rows if with_difficult else rows[rows[:, DIFFICULT_COLUMN] == 0]
        np.testing.assert_allclose(found[: len(kept)], np.reshape(expected_rows(kept), (-1, 5)), atol=1e-6)
        assert not found[len(kept) :].any()


def test_rows_are_cleared_when_their_memory_is_used_again(tmp_path: Path) -> None:
    source = crowd(tmp_path / "db", annotations(9), annotations(1))
    counts = [int(labels[0, 0].any(axis=1).sum()) for _, labels in yolo(source, "yolo_data_jitter: 0", count=40)]
    assert counts == [9, 1] * 20


@pytest.mark.parametrize("difficult", [(), (0, 7)])
def test_of_many_boxes_the_first_300_are_kept(tmp_path: Path, difficult: tuple[int, ...]) -> None:
    rows = annotations(310, difficult)
    labels = yolo(crowd(tmp_path / "db", rows), "yolo_data_jitter: 0")[0][1]
    kept = rows[rows[:, DIFFICULT_COLUMN] == 0][:300]
    np.testing.assert_allclose(labels[0, 0], expected_rows(kept), atol=1e-6)


@pytest.mark.parametrize("resize_mode", ["WARP", "FIT_LARGE_SIZE_AND_PAD"])
def test_yolo_s_boxes_stay_on_their_objects(marked: Path, resize_mode: str) -> None:
    resize = f"resize_param {{ height: {SIDE} width: {SIDE} resize_mode: {resize_mode} }} mirror: true"
    found, widths = 0, set()
    for data, labels in yolo(marked, "yolo_data_jitter: 0.7", resize, batch=4, count=12):
        for image, rows in zip(data, labels[:, 0], strict=True):
            for row in rows[rows[:, 3] > 0]:
                assert row[0] == 1
                centre, size = row[1:3] * SIDE, row[3:] * SIDE
                if size.min() >= 4:
                    found += 1
                    widths.add(round(float(size[0]), 3))
                    corners = np.concatenate([centre - size / 2, centre + size / 2])
                    np.testing.assert_allclose(edges(image), corners, atol=BLURRED)
    assert found > 12
    assert len(widths) > 24  # more than without jitter


def test_labels_of_datums_stay_labels() -> None:
    assert yolo(samples.database(False, False), "yolo_data_jitter: 0", batch=2)[0][1].shape == (2, 1, 1, 1)


@pytest.mark.parametrize("option", ["yolo_data_type: 2", "yolo_data_jitter: 1.5", "yolo_data_jitter: -0.1"])
def test_values_that_mean_nothing_are_an_error(option: str) -> None:
    with pytest.raises(CafxError, match=option.split(":")[0]), net(samples.database(), "", option):
        pass


def test_yolov3_learns_from_the_rows_as_they_come(tmp_path: Path) -> None:
    images = [annotations(3, (1,)), annotations(0), annotations(5), annotations(2, (0, 1))]
    text = prototxt(
        crowd(tmp_path / "db", *images), "scale: 0.01 resize_param { height: 32 width: 32 }", "yolo_data_type: 1"
    )
    text += """
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 16 kernel_size: 16 stride: 16 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "Yolov3" bottom: "conv" bottom: "label" top: "loss"
      yolov3_param { num_class: 3 num: 2 anchors_scale: 16 iou_loss: MSE
        biases: [8, 8, 30, 30] mask: [0, 1] } }"""
    taught = Net(schema().parse_text(text, "NetParameter"), TRAIN, engine="numpy", seed=1, keep="all")
    with taught:
        taught.run_forward()
        taught.run_backward()
        labels = taught.blobs["label"].host()[:, 0]
        assert [int(rows.any(axis=1).sum()) for rows in labels][1::2] == [0, 0]
        errors = taught.blobs["conv"].host_diff().reshape(4, 2, 8, 2, 2)
        classes = np.abs(errors[:, :, 5:]).sum(axis=(1, 2))
        for rows, cells in zip(labels, classes, strict=True):
            centres = (rows[rows[:, 3] > 0, 1:3] * 2).astype(int)
            assert {tuple(each) for each in np.argwhere(cells).tolist()} == {(y, x) for x, y in centres.tolist()}


def policies(*policies: str) -> str:
    return " ".join(f"resize_param {{ interp_mode: LINEAR interp_mode: AREA {each} }}" for each in policies)


RECIPE_OF_YOLO = (
    "scale: 0.007843 mirror: true mean_value: 127.5 mean_value: 127.5 mean_value: 127.5 "
    "emit_constraint { emit_type: CENTER } expand_param { prob: 0.5 max_expand_ratio: 1.5 } "
    "distort_param { brightness_prob: 0.5 brightness_delta: 32 random_order_prob: 0 }"
)
SIZES = {(32, 48): 0.6, (64, 64): 0.3, (96, 32): 0.1}
MULTI_SCALE = policies(*(f"prob: {prob} height: {height} width: {width}" for (height, width), prob in SIZES.items()))


def test_one_of_several_sizes_is_drawn_for_each_batch(marked: Path) -> None:
    batches = yolo(marked, "yolo_data_jitter: 0.2", MULTI_SCALE + " scale: 0.5", batch=3, count=200)
    shapes = [data.shape for data, _ in batches]
    assert set(shapes) == {(3, 3, *size) for size in SIZES}
    for size, prob in SIZES.items():
        assert shapes.count((3, 3, *size)) / 200 == pytest.approx(prob, abs=0.1)
    assert all(labels.shape == (3, 1, 300, 5) for _, labels in batches)
    again = yolo(marked, "yolo_data_jitter: 0.2", MULTI_SCALE + " scale: 0.5", batch=3, count=9)
    for (data, labels), (same, rows) in zip(batches[:9], again, strict=True):
        np.testing.assert_array_equal(data, same)
        np.testing.assert_array_equal(labels, rows)


def test_boxes_follow_the_size_that_was_drawn(marked: Path) -> None:
    sizes = policies(
        f"prob: 0.5 height: {SIDE} width: {SIDE} resize_mode: FIT_LARGE_SIZE_AND_PAD", "prob: 0.5 height: 80 width: 120"
    )
    found = {SIDE: 0, 80: 0}
    for data, labels in yolo(marked, "yolo_data_jitter: 0", sizes, batch=2, count=12):
        for image, rows in zip(data, labels[:, 0], strict=True):
            (row,) = rows[rows[:, 3] > 0]
            sides = np.array([*image.shape[1:]] * 2)[[1, 0, 3, 2]]
            corners = np.concatenate([row[1:3] - row[3:] / 2, row[1:3] + row[3:] / 2]) * sides
            np.testing.assert_allclose(edges(image), corners, atol=BLURRED)
            found[image.shape[1]] += 1
    assert min(found.values()) > 3


def test_without_boxes_several_sizes_are_drawn_too(marked: Path) -> None:
    with net(marked, MULTI_SCALE, tops="") as training:
        shapes = set()
        for _ in range(30):
            training.run_forward()
            shapes.add(training.blobs["data"].shape)
    assert len(shapes) > 1


@pytest.mark.parametrize("probs", [(0.5, 0.4), (1.0, 1.0)])
def test_probabilities_of_several_sizes_add_up_to_one(marked: Path, probs: tuple[float, ...]) -> None:
    sizes = policies(*(f"prob: {each} height: 32 width: 32" for each in probs))
    with pytest.raises(CafxError, match=f"do not add up to 1: got a sum of {sum(probs):g}"), net(marked, sizes):
        pass
    with net(marked, policies("prob: 0.502 height: 9 width: 9", "prob: 0.503 height: 8 width: 8")) as training:
        training.run_forward()


def test_a_net_as_mobilenet_yolo_trains_it_learns_at_every_size(marked: Path) -> None:
    text = prototxt(marked, f"{RECIPE_OF_YOLO} {MULTI_SCALE}", "yolo_data_type: 1 yolo_data_jitter: 0.2", batch=3)
    text += """
    layer { name: "conv0" type: "Convolution" bottom: "data" top: "conv0"
      convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "msra" } } }
    layer { name: "conv1/dw" type: "DepthwiseConvolution" bottom: "conv0" top: "conv1/dw"
      convolution_param { num_output: 8 kernel_size: 3 pad: 1 group: 8 engine: CAFFE weight_filler { type: "msra" } } }
    layer { name: "conv" type: "Convolution" bottom: "conv1/dw" top: "conv"
      convolution_param { num_output: 16 kernel_size: 8 stride: 8 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "Yolov3" bottom: "conv" bottom: "label" top: "loss"
      yolov3_param { num_class: 3 num: 2 anchors_scale: 16 iou_loss: MSE biases: [8, 8, 30, 30] mask: [0, 1] } }"""
    shapes = set()
    with Net(schema().parse_text(text, "NetParameter"), TRAIN, engine="numpy", seed=1) as training:
        for _ in range(12):
            training.run_forward()
            training.clear_param_diffs()
            training.run_backward()
            height, width = training.blobs["data"].shape[2:]
            shapes.add((height, width))
            assert training.blobs["conv"].shape == (3, 16, height // 16, width // 16)
            assert training.params["conv0"][0].host_diff().any()
    assert len(shapes) > 1


SSD_FIELDS = (
    "noise_param { inverse: true } crop_h: 4 crop_w: 5 distort_param { hue_prob: 0.1 } expand_param { prob: 0 } "
    "emit_constraint { emit_type: CENTER } resize_param { height: 9 width: 9 }"
)


@pytest.mark.parametrize("kind", ["Data", "ImageData"])
def test_plain_data_layers_say_what_they_ignore(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    listed = f'source: "{feed_samples.image_list()}" root_folder: "{feed_samples.folder()}/"'
    stored = f'source: "{feed_samples.database()}" backend: LMDB'
    options = {"Data": f"data_param {{ {stored} batch_size: 2 }}", "ImageData": f"image_data_param {{ {listed} }}"}[
        kind
    ]
    text = f'layer {{ name: "d" type: "{kind}" top: "data" top: "label" {options} transform_param {{ {SSD_FIELDS} }} }}'
    with Net(schema().parse_text(text, "NetParameter"), TRAIN, engine="numpy") as plain:
        plain.run_forward()
        plain.run_forward()
    warning = only_warning(caplog)
    assert warning.startswith(f"layer 'd' ({kind}) ignores transform_param.resize_param, ")
    assert "(only read by AnnotatedData); use that layer" in warning
    for name in ("noise_param", "crop_h", "crop_w", "distort_param", "expand_param", "emit_constraint"):
        assert f"transform_param.{name}" in warning


def test_this_layer_reads_all_of_them(caplog: pytest.LogCaptureFixture) -> None:
    with net(samples.database(), SSD_FIELDS) as training:
        training.run_forward()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def only_warning(caplog: pytest.LogCaptureFixture) -> str:
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    return warning


def test_a_label_outside_the_map_is_an_error(tmp_path: Path) -> None:
    labels = tmp_path / "labels.prototxt"
    labels.write_text('item { name: "one" label: 1 }')
    with (
        pytest.raises(CafxError, match="label that is not in label_map_file"),
        net(samples.database(), "", f'label_map_file: "{labels}"') as training,
    ):
        training.run_forward()


def test_a_database_of_datums_is_an_error_that_names_the_data_layer(tmp_path: Path) -> None:
    with registry().load("database", "LMDB").create(tmp_path / "db") as writer:
        writer.put([(b"0", datum_bytes(np.zeros((1, 2, 2), np.uint8), 3))])
    with pytest.raises(CafxError, match=r"is not an AnnotatedDatum(.|\n)*Data layer"):
        net(tmp_path / "db")
