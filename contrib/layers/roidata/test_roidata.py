"""RoIData beyond the conformance suite."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite
from cafx.kernel import CafxError, Net, Phase, schema
from cafx_data_roidata import RoIDataParameter, samples
from cafx_lib_boxes import encode_pixels, overlaps

TestEpochsOfRoIData = plugin_suite("data", "RoIData")

TestRoIData = layer_suite("RoIData")
TOLERANCE = 1e-4


def layer(tops: int = 3, **options: object) -> Net:
    given = {"num_classes": 3, "scale": [12], "pixel_mean": [1.0, 2.0, 3.0], **options}
    names = "".join(f'top: "t{index}" ' for index in range(tops))
    text = f'layer {{ name: "data" type: "RoIData" {names} }}'
    net = schema().parse_text(text, "NetParameter")
    RoIDataParameter(**given).fill(net.layer[0].roi_data_param)
    return Net(net, Phase.TRAIN, engine="numpy")


def batch(net: Net) -> list[np.ndarray]:
    net.forward()
    return [net.blobs[name].host() for name in net.blobs]


def windows(**options: object) -> dict[str, object]:
    return {"source": samples.window_file(), "root_folder": f"{samples.folder()}/", **options}


def prepared(index: int, flipped: bool, side: int = 12) -> tuple[np.ndarray, float]:
    """An image as py-faster-rcnn prepares it."""
    pixels = samples.image(index).astype(np.float32) - np.float32([1, 2, 3])
    scale = side / min(pixels.shape[:2])
    pixels = pixels[:, ::-1] if flipped else pixels
    return cv2.resize(pixels, None, None, fx=scale, fy=scale), scale


def which(data: np.ndarray) -> tuple[int, bool, float]:
    """The image in a batch of one, whether it is flipped, and its scale."""
    for index in range(len(samples.SIZES)):
        for flipped in (False, True):
            pixels, scale = prepared(index, flipped)
            if pixels.shape[:2] == data.shape[2:] and np.allclose(pixels.transpose(2, 0, 1), data[0], atol=TOLERANCE):
                return index, flipped, scale
    raise AssertionError("not one of the images")


@pytest.mark.parametrize("source", ["windows", "database"])
def test_every_image_comes_once_per_epoch_with_its_objects(source: str) -> None:
    where = windows() if source == "windows" else {"source": samples.database(), "use_difficult": True}
    net = layer(has_rpn=True, ims_per_batch=1, **where)
    for _ in range(2):
        seen = set()
        for _ in range(2 * len(samples.SIZES)):
            data, info, boxes = batch(net)
            index, flipped, scale = which(data)
            seen.add((index, flipped))
            np.testing.assert_allclose(info, [[*data.shape[2:], scale]], rtol=TOLERANCE)
            expected = samples.objects(index)
            if flipped:
                expected[:, [0, 2]] = samples.SIZES[index][1] - 1 - expected[:, [2, 0]]
            np.testing.assert_allclose(boxes[:, :4], expected[:, :4] * scale, atol=1e-2)
            np.testing.assert_array_equal(boxes[:, 4], expected[:, 4])
        assert len(seen) == 2 * len(samples.SIZES)


def test_difficult_objects_are_left_out_unless_asked_for() -> None:
    net = layer(has_rpn=True, ims_per_batch=1, source=samples.database(), use_flipped=False)
    counts = {}
    for _ in samples.SIZES:
        data, _, boxes = batch(net)
        counts[which(data)[0]] = len(boxes)
    assert counts == {0: 1, 1: 2, 2: 1, 3: 1}


def test_regions_have_labels_and_offsets_of_their_objects() -> None:
    net = layer(6, ims_per_batch=1, batch_size=16, normalize=False, use_flipped=False, fg_fraction=0.5, **windows())
    objects = 0
    for _ in samples.SIZES:
        data, rois, labels, targets, inside, outside = batch(net)
        index, _, scale = which(data)
        truth = samples.objects(index)
        assert len(rois) <= 16
        for roi, label, target, within, without in zip(rois, labels, targets, inside, outside, strict=True):
            box = roi[1:] / scale
            overlap = overlaps(box[None], truth[:, :4], pixels=True)[0]
            assert (overlap.max() >= 0.5 - TOLERANCE) == (label > 0)
            columns = slice(4 * int(label), 4 * int(label) + 4)
            if label:
                objects += 1
                best = int(overlap.argmax())
                assert label == truth[best, 4]
                np.testing.assert_allclose(target[columns], encode_pixels(truth[best, :4], box), atol=0.01)
            np.testing.assert_array_equal(within != 0, without != 0)
            assert within.sum() == (4 if label else 0)
            assert np.flatnonzero(target).size <= 4
    assert objects >= 6


def test_offsets_of_a_source_are_normalised_by_class() -> None:
    net = layer(6, batch_size=64, **windows())
    data = net.layers[0]
    rows = np.concatenate([each.targets for each in data.feed.source.entries])
    for label in (1, 2):
        own = rows[rows[:, 0] == label, 1:]
        np.testing.assert_allclose(own.mean(axis=0), 0, atol=TOLERANCE)
        np.testing.assert_allclose(own.std(axis=0), 1, atol=TOLERANCE)
    assert data.bbox_means.shape == data.bbox_deviations.shape == (3, 4)
    np.testing.assert_allclose(data.bbox_means[:, 0], 0, atol=TOLERANCE)  # flipped images have opposite dx


def test_smaller_images_of_a_batch_are_padded_with_0() -> None:
    net = layer(3, batch_size=8, aspect_grouping=False, normalize=False, **windows())
    padded = 0
    for _ in range(12):
        data, rois, labels = batch(net)
        assert data.shape[0] == 2
        assert set(rois[:, 0]) == {0, 1}
        assert len(labels) == len(rois)
        for item in data:
            filled = item.any(axis=0)
            height, width = int(filled.any(axis=1).sum()), int(filled.any(axis=0).sum())
            which(item[None, :, :height, :width])
            padded += item.shape[1:] != (height, width)
    assert padded


def test_wide_and_high_images_are_in_batches_of_their_own() -> None:
    net = layer(3, batch_size=8, normalize=False, **windows())
    for _ in range(12):
        sizes = {item.any(axis=(0, 1)).sum() >= item.any(axis=(0, 2)).sum() for item in batch(net)[0]}
        assert len(sizes) == 1


def test_a_roidb_replaces_the_source() -> None:
    samples.window_file()
    boxes = np.array([[2, 3, 9, 9], [2, 3, 9, 10], [12, 12, 18, 18]], np.uint16)
    entry = {"image": str(samples.folder() / "region0.png"), "boxes": boxes, "gt_classes": [1, 0, 0], "flipped": False}
    net = layer(6, ims_per_batch=1, batch_size=8, fg_fraction=0.5, bg_thresh_lo=0.0)
    with pytest.raises(CafxError, match=r"layer 'data' \(RoIData\): there are no images.*set_roidb"):
        net.forward()
    net.layers[0].set_roidb([entry])
    _, rois, labels, targets, _, _ = batch(net)
    assert labels.tolist() == [1, 1, 0]
    by_height = targets[np.argsort(rois[:2, 4] - rois[:2, 2])]
    np.testing.assert_allclose(by_height[0], 0, atol=TOLERANCE)
    assert by_height[1, 7] == pytest.approx(np.log(7 / 8), abs=TOLERANCE)
    net.layers[0].set_roidb([{**entry, "max_classes": [2, 0, 0], "max_overlaps": [0.9, 0.2, 0.2]}])
    assert sorted(batch(net)[2].tolist()) == [0, 0, 2]


def test_pycaffe_s_layers_have_set_roidb() -> None:
    assert callable(layer().layers[0].user.set_roidb)


@pytest.mark.parametrize(
    ("tops", "options", "message"),
    [
        (3, {"has_rpn": True}, "one image at a time"),
        (5, {"has_rpn": True, "ims_per_batch": 1}, "number of tops"),
        (4, {}, "number of tops"),
        (3, {"batch_size": 9}, "batch_size is not valid"),
        (3, {"pixel_mean": [1.0]}, "pixel_mean"),
        (3, {"source": "none.txt"}, "none.txt"),
        (3, {"ims_per_batch": 16, "source": "windows"}, "too few images"),
        (3, {"source": "database"}, "has no regions"),
    ],
)
def test_contradictions_are_told(tops: int, options: dict[str, object], message: str) -> None:
    sources = {"windows": windows(), "database": {"source": samples.database()}}
    given = {**options, **sources.get(str(options.get("source")), {})}
    with pytest.raises(CafxError, match=message):
        layer(tops, **given)


def test_a_class_out_of_range_is_told() -> None:
    net = layer(has_rpn=True, ims_per_batch=1, source=samples.database(), num_classes=2)
    with pytest.raises(CafxError, match=r"a class of image .* is not valid: got 2, expected below num_classes: 2"):
        [net.forward() for _ in range(8)]


@pytest.mark.parametrize("wrong", ["2", "-1"])
def test_a_class_out_of_range_is_told_before_offsets_are_normalised(wrong: str, tmp_path: Path) -> None:
    text = Path(samples.window_file()).read_text()
    (tmp_path / "list").write_text(text.replace("\n1 0.8", f"\n{wrong} 0.8"))
    with pytest.raises(CafxError, match=f"not valid: got {wrong}, expected below num_classes: 2"):
        layer(5, **windows(source=str(tmp_path / "list"), num_classes=2, normalize=True))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# 1", "# 7", "not numbered in order"),
        ("3 24 18", "3 24 x", "not a number"),
        ("", "", "truncated"),
        ("2 3 15 10", "2 3 1 10", "image 0: the box"),
    ],
)
def test_a_damaged_window_file_is_told(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = Path(samples.window_file()).read_text()
    (tmp_path / "damaged").write_text(text.replace(old, new, 1) if old else text.rsplit(" ", 1)[0])
    with pytest.raises(CafxError, match=message):
        layer(**windows(source=str(tmp_path / "damaged")))
