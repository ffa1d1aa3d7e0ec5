"""What pycaffe writes to standard error: Caffe's log lines."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import caffe
import pytest
from caffe import glog

LINE = re.compile(r"^[IWEF]\d{4} \d{2}:\d{2}:\d{2}\.\d{6} +\d+ [\w.]+:\d+\] (.*)$")
NET = """
layer { name: "data" type: "DummyData" top: "data" top: "target"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 4 display: 2 snapshot: 4 snapshot_prefix: "snap"
test_iter: 1 test_interval: 4 snapshot_after_train: false
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    monkeypatch.setattr(glog._Settings, "level", None)


@pytest.fixture
def lines(capfd):
    """The texts of the log since the last call; every line of standard error has glog's prefix."""

    def read():
        written = capfd.readouterr().err.splitlines()
        found = [LINE.match(text) for text in written]
        assert all(found), written
        return [match[1] for match in found]

    return read


def test_a_solver_logs_losses_tests_and_snapshots(lines):
    caffe.get_solver("solver.prototxt").solve()
    text = "\n".join(lines())
    for pattern in (
        r"^Iteration 0, Testing net \(#0\)$",
        r"^    Test net output #0: loss = 0\.5 \(\* 1 = 0\.5 loss\)$",
        r"^Iteration 0 \(.*\), loss = \d",
        r"^    Train net output #0: loss = 0\.5 \(\* 1 = 0\.5 loss\)$",
        r"^Iteration 2, lr = 0\.01$",
        r"^Snapshotting to binary proto file snap_iter_4\.caffemodel$",
        r"^Iteration 4, loss = \d",
        r"^Iteration 4, Testing net \(#0\)$",
        r"^Optimization Done\.$",
    ):
        assert len(re.findall(pattern, text, re.MULTILINE)) == 1, (pattern, text)


def test_step_logs_too(lines):
    caffe.SGDSolver("solver.prototxt").step(1)
    assert [text for text in lines() if text.startswith("Iteration 0 (")]


def test_debug_info_is_logged_once_per_blob(lines):
    Path("net.prototxt").write_text("debug_info: true " + NET)
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    caffe.get_solver("solver.prototxt")
    lines()
    net.forward()
    assert [text.split(",")[1] for text in lines() if "Layer ip, top" in text] == [" top blob ip data: 0"]


def test_layers_of_a_weights_file_without_a_place_are_named(lines):
    caffe.Net("net.prototxt", caffe.TEST).save("w.caffemodel")
    Path("net.prototxt").write_text(NET.replace('name: "ip"', 'name: "fc"'))
    lines()
    caffe.Net("net.prototxt", "w.caffemodel", caffe.TEST)
    assert lines() == ["Ignoring source layer ip"]
    Path("solver.prototxt").write_text(SOLVER + 'weights: "w.caffemodel"')
    caffe.get_solver("solver.prototxt")
    assert lines() == ["Ignoring source layer ip"]


@pytest.mark.parametrize("by_environment", [True, False])
def test_the_log_can_be_silenced(lines, monkeypatch, by_environment):
    if by_environment:
        monkeypatch.setenv("GLOG_minloglevel", "1")
    else:
        caffe.init_log(1)
    caffe.get_solver("solver.prototxt").solve()
    caffe.log("a line")
    assert lines() == []
    logging.getLogger("cafx.solver").warning("a warning")
    assert lines() == ["a warning"]


def test_init_log_goes_before_the_environment(lines, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    caffe.log("silent")
    caffe.init_log()
    caffe.log("a line")
    assert lines() == ["a line"]


def test_a_severity_is_a_letter(capfd):
    for severity in (glog.INFO, glog.WARNING, glog.ERROR, glog.FATAL):
        glog.line(severity, "x.cpp:1", "text")
    assert [text[0] for text in capfd.readouterr().err.splitlines()] == list("IWEF")
