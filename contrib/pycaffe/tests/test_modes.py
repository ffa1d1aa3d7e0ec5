"""``set_mode_cpu``, ``set_mode_gpu`` and ``set_device``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import caffe
import pytest
from caffe.modes import process

from cafx.kernel import CafxError, Engine, Registry, registry, set_engine
from cafx.kernel.net import available_engine
from cafx.kernel.registry import installed, using_registry

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "target"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 6 snapshot_prefix: "snap" '
SCRIPT = """
import caffe
caffe.set_device(1)
caffe.set_mode_gpu()
caffe.set_mode_gpu()
solver = caffe.SGDSolver("solver.prototxt")
solver.step(1)
print(solver.iter)
"""


class Card(Engine):
    """Says that it is a GPU; cannot run while ``lacking`` says why."""

    name = "card"
    priority = 50
    gpu = True
    lacking: str | None = None

    @classmethod
    def unavailable(cls):
        return cls.lacking


class Processor(Engine):
    """The fastest CPU engine."""

    name = "processor"
    priority = 40


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    for setting in ("CAFX_ENGINE", "CAFX_STRICT_MODE"):
        monkeypatch.delenv(setting, raising=False)
    for name in ("engine", "device", "seed"):
        monkeypatch.setattr(process, name, None)
    monkeypatch.setattr(process, "has_warned", False)
    return tmp_path


@pytest.fixture(autouse=True)
def gpu():
    """The environment's plugins with one GPU engine and a fast CPU engine."""
    on_cpu = {plugin.name for plugin, engine in registry().usable("engine") if not engine.gpu}
    plugins = Registry([point for point in installed() if point.group != "cafx.engines" or point.name in on_cpu])
    plugins.add("engine", "card", Card)
    plugins.add("engine", "processor", Processor)
    with using_registry(plugins):
        yield plugins


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(Card, "lacking", "no NVIDIA driver: install one")


def engines(solver_mode=""):
    """Engine and device of a net and of a solver made now."""
    Path("solver.prototxt").write_text(SOLVER + solver_mode)
    nets = (caffe.Net("net.prototxt", caffe.TEST), caffe.get_solver("solver.prototxt").net)
    return [(net._net.engine.name, net._net.engine.device) for net in nets]


def test_gpu_mode_and_device():
    caffe.set_mode_gpu()
    assert engines() == [("card", 0)] * 2
    caffe.set_device(2)
    assert engines() == [("card", 2)] * 2
    assert engines("solver_mode: CPU device_id: 1") == [("card", 2)] * 2


def test_cpu_mode():
    caffe.set_mode_cpu()
    assert engines("solver_mode: GPU") == [("processor", 0)] * 2
    caffe.set_mode_gpu()
    assert engines() == [("card", 0)] * 2


def test_the_solver_s_file_decides_where_the_script_does_not():
    assert engines("solver_mode: GPU device_id: 1")[1] == ("card", 1)
    assert engines("solver_mode: CPU")[1][0] == "processor"
    caffe.set_device(0)
    assert engines("solver_mode: GPU device_id: 1")[1] == ("card", 0)


@pytest.mark.parametrize("by_environment", [True, False])
def test_a_chosen_cpu_engine_is_left_alone(by_environment, monkeypatch, caplog):
    if by_environment:
        monkeypatch.setenv("CAFX_ENGINE", "numpy")
    else:
        set_engine("numpy")
    try:
        for mode in (caffe.set_mode_cpu, caffe.set_mode_gpu):
            mode()
            assert engines("solver_mode: GPU") == [("numpy", 0), ("numpy", 0)]
    finally:
        set_engine(None)
    assert not caplog.records


def test_cpu_mode_replaces_a_chosen_gpu_engine(monkeypatch):
    monkeypatch.setenv("CAFX_ENGINE", "card")
    assert engines() == [("card", 0)] * 2
    caffe.set_mode_cpu()
    assert engines() == [("processor", 0)] * 2


@pytest.mark.usefixtures("no_gpu")
def test_gpu_mode_without_a_gpu_is_one_notice_and_the_cpu(caplog):
    caffe.set_device(1)
    caffe.set_mode_gpu()
    caffe.set_mode_gpu()
    assert {name for name, _ in engines("solver_mode: GPU")} == {"processor"}
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", "set_mode_gpu(): no GPU here (card: no NVIDIA driver: install one); using the CPU")
    ]


@pytest.mark.usefixtures("no_gpu")
def test_strict_mode_refuses(monkeypatch):
    monkeypatch.setenv("CAFX_STRICT_MODE", "1")
    with pytest.raises(CafxError, match=r"set_mode_gpu\(\): no GPU here \(card: no NVIDIA driver.*CAFX_STRICT_MODE"):
        caffe.set_mode_gpu()
    with pytest.raises(CafxError, match="solver_mode: GPU: no GPU here"):
        engines("solver_mode: GPU")
    caffe.set_mode_cpu()
    assert engines("solver_mode: GPU")[1] == ("processor", 0)


@pytest.mark.skipif(bool(available_engine(registry(), gpu=True)), reason="a GPU engine can run here")
def test_a_script_of_others_runs_on_the_cpu_with_one_line():
    done = run_script()
    assert (done.returncode, done.stdout) == (0, "1\n")
    assert done.stderr.count("no GPU here") == 1
    assert re.match(r"W\d{4} \S+ +\d+ common\.cpp:44\] set_mode_gpu\(\): no GPU here \(", done.stderr)
    refused = run_script(CAFX_STRICT_MODE="1")
    assert refused.returncode == 1
    assert "CafxError: set_mode_gpu(): no GPU here (" in refused.stderr


def run_script(**settings):
    Path("solver.prototxt").write_text(SOLVER + "solver_mode: GPU")
    command, environment = [sys.executable, "-c", SCRIPT], {**os.environ, **settings}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
