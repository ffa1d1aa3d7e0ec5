"""The record of preprocessing in pycaffe: Caffe's own results stay, and other doors give the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import caffe
import numpy as np
import pytest

from cafx_lib_preprocessing import Preprocessing
from cafx_lib_zoo import Card, publish

GOLDEN, GOLDEN_RESIZED = 1e-4, 1e-3
SAME = 1e-5
ZOO = ("deploy.prototxt", "squeezenet.caffemodel")
MEAN = np.array([104.0, 117.0, 123.0])
IMAGES = ("cat.jpg", "cat_gray.jpg", "fish-bike.jpg", "mtcnn_test1.jpg")


@pytest.fixture
def golden(shared: Path) -> Path:
    return shared / "golden/pycaffe"


def test_images_are_resized_as_by_caffe(golden: Path) -> None:
    arrays = np.load(golden / "image_ops.npz")
    for case in json.loads((golden / "image_ops.json").read_text()):
        if "new_dims" in case:
            found = caffe.io.resize_image(arrays[f"{case['name']}/in"], case["new_dims"], case["interp_order"])
            np.testing.assert_allclose(found, arrays[f"{case['name']}/out"], rtol=GOLDEN_RESIZED, err_msg=case["name"])


def test_a_classifier_scores_as_caffe_s(golden: Path) -> None:
    arrays = np.load(golden / "api_net.npz")
    settings = json.loads((golden / "classifier.json").read_text())["classifier"]
    settings["image_dims"] = settings.pop("image_dims_first")
    settings["mean"] = np.array(settings["mean"], float)
    files = (str(golden / "cls_net.prototxt"), str(golden / "cls_net.caffemodel"))
    images = [arrays["cls/im0"], arrays["cls/im1"]]
    classifier = caffe.Classifier(*files, **settings)
    np.testing.assert_allclose(classifier.predict(images), arrays["cls/oversample"], atol=GOLDEN)
    np.testing.assert_allclose(classifier.predict(images, oversample=False), arrays["cls/center"], atol=GOLDEN)


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "net.prototxt").write_text(NET)
    paths = str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")
    caffe.Net(paths[0], caffe.TEST).save(paths[1])
    return paths


@pytest.mark.parametrize("oversample", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"raw_scale": 255, "mean": MEAN, "channel_swap": (2, 1, 0), "image_dims": (9, 8), "input_scale": 0.5},
        {"raw_scale": 1, "mean": MEAN / 255},
        {},
        {"raw_scale": 255, "mean": np.random.default_rng(0).random((3, 6, 5)) * 255, "channel_swap": (2, 1, 0)},
    ],
)
def test_the_settings_of_a_classifier_are_a_record(
    settings: dict[str, Any], oversample: bool, model: tuple[str, str]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8).astype(np.float32) / 255
    classifier = caffe.Classifier(*model, **settings)
    record = classifier.preprocessing.changed(oversample=oversample)
    other = caffe.Classifier(*model, preprocessing=record)
    expected = classifier.predict([image], oversample=oversample)
    np.testing.assert_allclose(other.predict([image]), expected, atol=SAME)
    assert other.preprocessing == record


def test_two_kinds_of_settings_and_channels_without_a_name_are_refused(model: tuple[str, str]) -> None:
    with pytest.raises(caffe.CafxError, match="two kinds of settings"):
        caffe.Classifier(*model, raw_scale=255, preprocessing=Preprocessing())
    with pytest.raises(caffe.CafxError, match="no name"):
        caffe.Classifier(*model, channel_swap=(1, 2, 0)).preprocessing  # noqa: B018 - the property raises


@pytest.mark.slow
def _card(record: Preprocessing) -> Card:
    return Card("SqueezeNet", weights=ZOO[1], preprocessing=json.loads(record.to_json()))


@pytest.mark.slow
def test_a_classifier_the_command_and_a_zoo_s_folder_give_the_same_scores(tmp_path: Path, shared: Path) -> None:
    folder, images = shared / "models/squeezenet_v1.0", [str(shared / "images" / name) for name in IMAGES]
    files = [str(folder / "SqueezeNet_deploy.prototxt"), str(folder / "decompressed_SqueezeNet.caffemodel")]
    classifier = caffe.Classifier(*files, mean=MEAN, raw_scale=255, channel_swap=(2, 1, 0))
    expected = classifier.predict([caffe.io.load_image(image) for image in images], oversample=False)
    (tmp_path / "p.json").write_text(classifier.preprocessing.to_json())
    command = [sys.executable, "-m", "cafx.cli", "classify", files[0], *images, "--json"]
    zoo = publish(tmp_path / "zoo", _card(classifier.preprocessing), dict(zip(ZOO, map(Path, files), strict=True)))
    from_zoo = caffe.Classifier(*files, preprocessing=zoo.path)
    np.testing.assert_allclose(from_zoo.predict([caffe.io.load_image(image) for image in images]), expected, rtol=SAME)
    doors = [
        [*command, "-w", files[1], "--mean", "104,117,123"],
        [*command, "-w", files[1], "--preprocessing", str(tmp_path / "p.json")],
        [*command[:4], str(zoo.path), *command[5:]],
    ]
    for door in doors:
        result = subprocess.run(door, text=True, capture_output=True, timeout=120, check=True)
        assert "resized to 227×227 (antialias), BGR from 0 to 255, minus 104, 117, 123" in result.stderr
        for row, scores in zip(json.loads(result.stdout), expected.reshape(len(images), -1), strict=True):
            best = np.argsort(-scores)[:5]
            assert [each["class"] for each in row["top"]] == best.tolist()
            np.testing.assert_allclose([each["score"] for each in row["top"]], scores[best], rtol=SAME)
