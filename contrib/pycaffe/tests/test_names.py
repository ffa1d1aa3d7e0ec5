"""Names of pycaffe beside nets and solvers: ``_caffe``, Timer, draw, NetSpec's errors, selective search."""

from __future__ import annotations

import ctypes
import shutil
import time
from pathlib import Path

import caffe
import caffe.draw
import numpy as np
import pytest
from caffe import layers as L
from caffe.proto import caffe_pb2
from google.protobuf import text_format

import cafx_lib_inputs
from cafx.kernel import CafxError

NET = """
name: "small" state { level: 1 stage: "own" }
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "seen" type: "Input" top: "seen" input_param { shape { dim: 1 } } include { phase: TRAIN } }
layer { name: "high" type: "ReLU" bottom: "data" top: "high" include { min_level: 1 } }
layer { name: "staged" type: "ReLU" bottom: "data" top: "staged" include { stage: "own" stage: "more" } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    return "net.prototxt"


def test_the_c_module_has_the_names_that_scripts_import(path):
    net = caffe.Net(path, caffe.TEST)
    assert type(net.params["ip"]) is caffe._caffe.BlobVec
    assert type(net.layers) is caffe._caffe.LayerVec
    assert type(net.layers[-1].blobs) is caffe._caffe.BlobVec
    from caffe._caffe import Blob, Layer, Net, RawBlobVec, Timer, log

    assert (Layer, Net, Blob, log, Timer) == (caffe.Layer, caffe.Net, caffe.Blob, caffe.log, caffe.Timer)
    assert RawBlobVec() == []


def test_level_and_stages_override_the_state_in_the_file(path):
    def layers(**state):
        return [name for name in caffe.Net(path, caffe.TEST, **state)._layer_names if "split" not in name]

    assert layers() == ["data", "ip"]
    assert layers(level=1) == ["data", "high", "ip"]
    assert layers(stages=["more"]) == ["data", "staged", "ip"]


def test_a_timer_measures_milliseconds():
    timer = caffe.Timer()
    assert timer.ms == 0
    timer.start()
    time.sleep(0.02)
    timer.stop()
    first = timer.ms
    assert 20 <= first < 2000
    assert timer.ms == first
    timer.start()
    assert timer.ms < first


def test_a_net_is_drawn_as_text_without_graphviz(path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    message = caffe_pb2.NetParameter()
    text_format.Merge(NET, message)
    caffe.draw.draw_net_to_file(message, "net.dot")
    drawn = Path("net.dot").read_text()
    assert "digraph" in drawn
    assert "rankdir=LR" in drawn
    assert "seen" in drawn
    assert "seen" not in caffe.draw.get_pydot_graph(message, "TB", phase=caffe.TEST).to_string()
    assert caffe.draw.draw_net(message, "TB", "raw").decode().count("rankdir=TB") == 1
    with pytest.raises(CafxError, match=r"dot is not installed.*apt install graphviz.*net\.dot"):
        caffe.draw.draw_net_to_file(message, "net.png", "LR")
    assert not Path("net.png").exists()


def test_a_picture_comes_from_dot(path, monkeypatch, tmp_path):
    if shutil.which("dot") is None:
        stand_in = tmp_path / "dot"
        stand_in.write_text("#!/bin/sh\nexec printf '\\211PNG'\n")
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    caffe.draw.draw_net_to_file(path, "net.png", "LR")
    assert Path("net.png").read_bytes().startswith(b"\x89PNG")
    caffe.draw.get_pydot_graph(path, "LR", label_edges=False).write_png("other.png")
    assert Path("other.png").read_bytes().startswith(b"\x89PNG")


def test_a_bottom_that_is_no_top_is_a_type_error_in_pycaffe_s_words():
    pair = L.DummyData(ntop=2)
    with pytest.raises(TypeError) as caught:
        L.Silence(pair, ntop=0)
    assert str(caught.value) == "Silence input 0 is not a Top (type is <class 'tuple'>)"
    assert "unpack them with *" in caught.value.__notes__[0]
    assert "test_names.py" in caught.value.__notes__[0]
    L.Silence(*pair, ntop=0)
    with pytest.raises(TypeError, match="ntop=2"):
        _, _ = L.Input(shape={"dim": [1]})


def test_messages_print_as_prototxt(path):
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 3]})
    n.ip = L.InnerProduct(n.data, num_output=2, bias_term=False, weight_filler={"type": "gaussian", "std": 0.01})
    message = n.to_proto()
    text = str(message)
    assert '  type: "InnerProduct"\n' in text
    assert "    bias_term: false\n" in text
    assert "      std: 0.01\n" in text
    read = caffe_pb2.NetParameter()
    text_format.Merge(text, read)
    assert read == message
    Path(path).write_text(text)
    assert caffe.Net(path, caffe.TEST).outputs == ["ip"]


@pytest.fixture
def picture(tmp_path):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "ximgproc"):
        pytest.skip("needs opencv-contrib-python-headless")
    image = np.zeros((60, 80, 3), np.uint8)
    image[10:30, 20:50] = (255, 0, 0)
    image[35:55, 5:25] = (0, 255, 255)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    return tmp_path / "image.png"


@pytest.mark.slow
def test_selective_search_finds_objects_in_a_repeatable_order(picture):
    image = np.ascontiguousarray(np.round(caffe.io.load_image(picture)[:, :, ::-1] * 255).astype(np.uint8))
    first = cafx_lib_inputs.selective_search(image)
    assert np.abs(first - (10, 20, 30, 50)).max(1).min() <= 2
    assert (first.min(0) >= 0).all()
    assert (first.max(0) <= (60, 80, 60, 80)).all()
    assert (first[:, 2:] > first[:, :2]).all()
    ctypes.CDLL(None).srand(99)
    np.testing.assert_array_equal(cafx_lib_inputs.selective_search(image), first)


def test_a_detector_scores_the_windows_of_selective_search(picture, tmp_path):
    text = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } }
        layer { name: "sum" type: "Reduction" bottom: "data" top: "sum" reduction_param { axis: 1 operation: MEAN } }"""
    (tmp_path / "net.prototxt").write_text(text)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    detector = caffe.Detector(str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel"))
    detections = detector.detect_selective_search([picture])
    assert {each["filename"] for each in detections} == {str(picture)}
    box = min(detections, key=lambda each: np.abs(each["window"] - (10, 20, 30, 50)).max())
    np.testing.assert_allclose(box["prediction"], 1 / 3, atol=0.05)


def test_without_opencv_s_modules_the_error_names_the_package(monkeypatch):
    monkeypatch.setattr("cafx_lib_inputs.proposals.cv2", object)
    with pytest.raises(CafxError, match="pip install opencv-contrib-python-headless"):
        cafx_lib_inputs.selective_search(np.zeros((4, 4, 3), np.uint8))
