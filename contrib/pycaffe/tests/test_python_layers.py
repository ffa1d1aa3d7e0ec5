"""Layers written in Python, as scripts see them through pycaffe."""

from __future__ import annotations

import sys
from pathlib import Path

import caffe
import pytest

MODULE = """
import caffe

class Rows(caffe.Layer):
    def setup(self, bottom, top):
        self.rows = None
        self.value = float(self.param_str_ or 1)
        assert self.param_str_ == self.param_str
        self.blobs.add_blob(2)
    def reshape(self, bottom, top):
        top[0].reshape(1)
    def forward(self, bottom, top):
        if self.rows == []:
            raise StopIteration("end of the data")
        top[0].data[...] = self.rows.pop() if self.rows else self.value
    def backward(self, top, propagate_down, bottom):
        raise ZeroDivisionError

class Strict(caffe.Layer):
    def setup(self, bottom, top):
        if not bottom:
            raise TypeError("needs a bottom")
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
        if bottom[0].shape[0] > 2:
            raise KeyError("rows")
    def forward(self, bottom, top):
        pass
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_rows.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("my_rows", None)


def net(layer, bottom="", more=""):
    text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }' if bottom else ""
    text += f"""layer {{ name: "user" type: "Python" {bottom} top: "y" {more}
        python_param {{ module: "my_rows" layer: "{layer}" param_str: "3" }} }}"""
    Path("net.prototxt").write_text(text)
    return caffe.Net("net.prototxt", caffe.TRAIN)


def test_the_layer_is_the_object_of_its_class():
    built = net("Rows")
    user = built.layers[0]
    assert type(user).__name__ == "Rows"
    assert isinstance(user, caffe.Layer)
    assert (user.type, user, len(user.blobs)) == ("Python", built.layer_dict["user"], 1)
    assert built.forward()["y"].tolist() == [3]
    user.rows = [7, 5]
    assert [built.forward()["y"].tolist() for _ in range(2)] == [[5], [7]]
    user.blobs[0].data[...] = 4
    assert built.params["user"][0].data.tolist() == [4, 4]


def test_a_solver_s_net_has_the_object_too():
    net("Rows", more="loss_weight: 1")
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0 lr_policy: "fixed" max_iter: 9 snapshot_prefix: "snap"'
    )
    solver = caffe.SGDSolver("solver.prototxt")
    solver.net.layers[0].rows = [1]
    with pytest.raises(ZeroDivisionError):
        solver.step(1)
    assert solver.net.layers[0].rows == []


def test_exceptions_of_forward_keep_their_type_and_say_where():
    built = net("Rows")
    built.layers[0].rows = []
    with pytest.raises(StopIteration, match="end of the data") as caught:
        built.forward()
    (note,) = caught.value.__notes__
    assert "layer 'user' (Python): forward of my_rows.Rows failed: StopIteration: end of the data" in note
    assert "my_rows.py:14" in note
    assert caught.traceback[-1].path.name == "my_rows.py"
    built.layers[0].rows = [1]
    assert built.forward()["y"].tolist() == [1]


def test_exceptions_of_setup_reshape_and_import_keep_their_type():
    with pytest.raises(TypeError, match="needs a bottom"):
        net("Strict")
    built = net("Strict", 'bottom: "x"')
    built.blobs["x"].reshape(3)
    with pytest.raises(KeyError, match="rows"):
        built.reshape()
    Path("my_rows.py").write_text("import no_such_module")
    sys.modules.pop("my_rows")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        net("Rows")


def test_cafx_s_own_errors_are_runtime_errors():
    with pytest.raises(RuntimeError, match="no such class"):
        net("Nothing")
    with pytest.raises(RuntimeError, match=r"missing\.prototxt"):
        caffe.Net("missing.prototxt", caffe.TEST)
