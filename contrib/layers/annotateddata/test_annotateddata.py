"""AnnotatedData passes the conformance suite, names what is wrong, and keeps boxes on their objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite
from cafx.kernel import TRAIN, CafxError, Net, Phase, registry, schema
from cafx_data_annotateddata import samples
from cafx_lib_annotated.records import record_bytes
from cafx_lib_feed.datum import datum_bytes

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
    ("source", "transform", "annotated", "message"),
    [
        (samples.database(True, True, False), "", "", "shape mismatch at item '00000001'"),
        (samples.database(), "crop_size: 9 crop_h: 3 crop_w: 3", "", "crop_size contradicts"),
        (samples.database(), "crop_h: 3", "", "one side only"),
        (samples.database(), "crop_size: 19", "", "the crop is larger"),
        (samples.database(), "resize_param { height: 3 }", "", "needs a height and a width"),
        (samples.database(), "distort_param { contrast_lower: 2 contrast_upper: 1 }", "", "contrast_lower is above"),
        (samples.database(), "noise_param { saltpepper: true }", "", "saltpepper has no value"),
        (samples.database(), "mean_value: 1 mean_value: 2", "", "mean_value does not match"),
        (samples.database(), "", "batch_sampler { sampler { min_scale: 0.5 max_scale: 0.2 } }", "min_scale is above"),
        (samples.database(), "", "label_map_file: 'none.prototxt'", "none.prototxt"),
    ],
)
def test_an_error_says_what_is_wrong(source: str, transform: str, annotated: str, message: str) -> None:
    with pytest.raises(CafxError, match=message), net(source, transform, annotated) as training:
        training.run_forward()


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
