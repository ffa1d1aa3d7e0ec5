"""pycaffe's Net: arrays that scripts keep and write, passes, files."""

from __future__ import annotations

import gc

import caffe
import numpy as np
import pytest
from caffe.blob import ledger

from cafx.kernel import HOST, CafxError, Place, SyncedArray

NET = """
name: "small"
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 4 weight_filler { type: "constant" value: 0.5 } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
layer { name: "out" type: "InnerProduct" bottom: "ip" top: "out"
        inner_product_param { num_output: 1 weight_filler { type: "constant" value: 1 } } }
"""
X = np.arange(6.0, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return str(tmp_path / "net.prototxt")


@pytest.fixture
def net(path):
    return caffe.Net(path, caffe.TEST)


def test_the_constructor_accepts_all_forms_of_arguments(path, net, tmp_path):
    weights = str(tmp_path / "w.caffemodel")
    net.params["ip"][0].data[...] = 3
    net.save(weights)
    forms = [
        caffe.Net(path, weights, caffe.TEST),
        caffe.Net(path, caffe.TEST, weights=weights),
        caffe.Net(path, phase=caffe.TEST, weights=weights, level=1, stages=["deploy"]),
        caffe.Net(path, caffe.TRAIN, 0, None, weights),
        caffe.Net(tmp_path / "net.prototxt", caffe.TEST, 0, ["deploy"], weights),
    ]
    for each in forms:
        assert (each.params["ip"][0].data == 3).all()
    assert forms[3].phase == caffe.TRAIN
    with pytest.raises(TypeError, match="phase"):
        caffe.Net(path)


def test_blobs_params_and_layers_are_in_order(net):
    assert list(net.blobs) == ["data", "ip", "out"]
    assert list(net.params) == ["ip", "out"]
    assert (net.inputs, net.outputs) == (["data"], ["out"])
    assert net._layer_names == ["data", "ip", "relu", "out"]
    assert [layer.type for layer in net.layers] == ["Input", "InnerProduct", "ReLU", "InnerProduct"]
    assert net.layer_dict["out"].blobs[0].shape == (1, 4)
    assert net.bottom_names["relu"] == net.top_names["relu"] == ["ip"]
    assert (net._bottom_ids(3), net._top_ids(3), net._inputs, net._outputs) == ([1], [2], [0], [2])
    assert net.blob_loss_weights["out"] == 0


def test_forward_and_backward_accept_and_return_arrays(net):
    out = net.forward(data=X, blobs=["ip"])
    np.testing.assert_allclose(out["out"][:, 0], X.sum(1) * 2)
    assert set(out) == {"out", "ip"}
    back = net.backward(out=np.ones((2, 1), np.float32), diffs=["ip"])
    np.testing.assert_allclose(back["data"], np.full((2, 3), 2))
    assert set(back) == {"data", "ip"}
    np.testing.assert_allclose(net.params["out"][0].diff, net.blobs["ip"].data.sum(0)[None])
    net.clear_param_diffs()
    assert not net.params["out"][0].diff.any()


def test_passes_may_start_and_end_at_any_layer(net):
    net.blobs["data"].data[...] = X
    assert set(net.forward(end="ip")) == {"ip"}
    net.blobs["ip"].data[...] = 1
    assert net.forward(start="out")["out"].tolist() == [[4], [4]]
    net.blobs["out"].diff[...] = 1
    assert set(net.backward(end="out")) == {"ip"}
    net.blobs["ip"].diff[...] = 0
    assert not net.backward(start="ip")["data"].any()


def test_arrays_obtained_earlier_stay_connected_to_the_net(net):
    data, weights = net.blobs["data"].data, net.params["out"][0].data[0, 1:]
    data[...] = X
    net.forward()
    weights[...] = 0
    out = net.blobs["out"].data
    assert net.forward()["out"].tolist() == [[1.5], [6]]
    data[...] = 0
    net.forward()
    assert out.tolist() == [[0], [0]]


class Elsewhere(Place):
    """A place that keeps negated copies."""

    name = "elsewhere"

    def allocate(self, count, dtype):
        return np.zeros(count, dtype)

    def from_host(self, host, array):
        array[...] = -host

    def to_host(self, array, host):
        host[...] = -array


def test_arrays_in_hand_follow_other_places():
    place, values = Elsewhere(), SyncedArray(3, np.float32)
    held = ledger.array(values, (3,))[1:]
    held[...] = 5
    ledger.before_pass()
    assert values.read(place).tolist() == [0, -5, -5]
    held[...] = 6
    ledger.before_pass()
    written = values.write(place)
    assert written.tolist() == [0, -6, -6]
    written[...] = -7
    ledger.after_pass()
    assert held.tolist() == [7, 7]
    del held
    gc.collect()
    values.write(place)
    ledger.after_pass()
    assert HOST not in values.current


def test_reshaping_an_input_reshapes_the_outputs(net):
    net.blobs["data"].reshape(5, 3)
    net.reshape()
    assert net.blobs["out"].data.shape == (5, 1)
    net.blobs["data"].reshape(1, 3)
    assert net.forward(data=X[:1])["out"].shape == (1, 1)
    blob = net.blobs["data"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (1, 3, 1, 1, 3)


def test_forward_all_runs_more_examples_than_a_batch(net):
    many = np.arange(15, dtype=np.float32).reshape(5, 3)
    out = net.forward_all(blobs=["ip"], data=many)
    np.testing.assert_allclose(out["out"][:, 0], many.sum(1) * 2)
    assert out["ip"].shape == (5, 4)
    outs, grads = net.forward_backward_all(data=many, out=np.ones((5, 1), np.float32))
    np.testing.assert_allclose(outs["out"], out["out"])
    assert grads["data"].tolist() == [[2, 2, 2]] * 5


def test_arrays_that_do_not_match_are_rejected(net):
    with pytest.raises(CafxError, match="do not match net inputs"):
        net.forward(date=X)
    with pytest.raises(CafxError, match="not batch sized"):
        net.forward(data=X[:1])
    with pytest.raises(CafxError, match="do not match net outputs"):
        net.backward(ip=X)
    with pytest.raises(CafxError, match="MemoryData"):
        net.set_input_arrays(X, X)


def test_weights_are_loaded_copied_and_shared(net, path, tmp_path):
    net.params["ip"][0].data[...] = 7
    net.save_hdf5(str(tmp_path / "w.h5"))
    other, third, sharer = (caffe.Net(path, caffe.TEST) for _ in range(3))
    other.load_hdf5(str(tmp_path / "w.h5"))
    third.copy_from(net)
    sharer.share_with(net)
    shared = sharer.params["ip"][0].data
    net.params["ip"][0].data[...] = 8
    assert [each.params["ip"][0].data[0, 0] for each in (other, third, sharer)] == [7, 7, 8]
    assert shared[0, 0] == 8


def test_callbacks_are_called_before_and_after_layers(net):
    seen = []
    net.before_forward(lambda index: seen.append(("before", index)))
    net.after_forward(lambda index: seen.append(("after", index)))
    net.after_backward(lambda index: seen.append(("back", index)))
    net.forward(start="relu")
    net.backward(end="out")
    assert seen == [("before", 2), ("after", 2), ("before", 3), ("after", 3), ("back", 3)]


def test_set_input_arrays_feeds_a_memory_data_layer(tmp_path):
    text = """layer { name: "d" type: "MemoryData" top: "data" top: "label"
              memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }"""
    (tmp_path / "m.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "m.prototxt"), caffe.TEST)
    net.set_input_arrays(np.arange(12, dtype=np.float32).reshape(4, 1, 1, 3), np.arange(4, dtype=np.float32))
    net.forward()
    assert net.forward()["label"].tolist() == [2, 3]


def test_a_layer_written_in_python_runs_forward_and_backward(tmp_path, monkeypatch):
    (tmp_path / "doubling.py").write_text(
        "import caffe\n"
        "class Doubling(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)\n"
        "    def forward(self, bottom, top): top[0].data[...] = 2 * bottom[0].data\n"
        "    def backward(self, top, propagate_down, bottom): bottom[0].diff[...] = 2 * top[0].diff\n"
    )
    monkeypatch.chdir(tmp_path)
    n = caffe.NetSpec()
    n.data = caffe.layers.Input(shape={"dim": [2, 3]})
    n.twice = caffe.layers.Python(n.data, module="doubling", layer="Doubling")
    (tmp_path / "net.prototxt").write_text("force_backward: true\n" + str(n.to_proto()))
    net = caffe.Net("net.prototxt", caffe.TEST)
    assert (net.forward(data=X)["twice"] == 2 * X).all()
    assert (net.backward(twice=X)["data"] == 2 * X).all()
