"""What BVLC's own tests of pycaffe expect, in other words; `test_bvlc` runs the originals where they are at hand."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import coord_map_from_to, crop

CLASSES = 13
NET = """
name: 'testnet' force_backward: true
layer { type: 'DummyData' name: 'data' top: 'data' top: 'label'
  dummy_data_param { num: 5 channels: 2 height: 3 width: 4 num: 5 channels: 1 height: 1 width: 1
    data_filler { type: 'gaussian' std: 1 } data_filler { type: 'constant' } } }
layer { type: 'Convolution' name: 'conv' bottom: 'data' top: 'conv' param { decay_mult: 1 } param { decay_mult: 0 }
  convolution_param { num_output: 11 kernel_size: 2 pad: 3
    weight_filler { type: 'gaussian' std: 1 } bias_filler { type: 'constant' value: 2 } } }
layer { type: 'InnerProduct' name: 'ip' bottom: 'conv' top: 'ip_blob'
  inner_product_param { num_output: 13
    weight_filler { type: 'gaussian' std: 2.5 } bias_filler { type: 'constant' value: -3 } } }
layer { type: 'SoftmaxWithLoss' name: 'loss' bottom: 'ip_blob' bottom: 'label' top: 'loss' }
"""
SOLVER = """
net: 'net.prototxt' test_iter: 10 test_interval: 10 base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
lr_policy: 'inv' gamma: 0.0001 power: 0.75 display: 100 max_iter: 100 snapshot_after_train: false
snapshot_prefix: 'model'
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    (tmp_path / "bvlc_layers.py").write_text(LAYERS)
    yield tmp_path
    sys.modules.pop("bvlc_layers", None)


def with_labels(net):
    labels = net.blobs["label"].data
    labels[...] = np.random.default_rng(0).integers(CLASSES, size=labels.shape)
    return net


def all_blobs(net):
    return [*net.blobs.values(), *itertools.chain.from_iterable(net.params.values())]


def test_arrays_outlive_their_net_and_its_solver():
    net = with_labels(caffe.Net("net.prototxt", caffe.TRAIN))
    net.forward()
    blobs = all_blobs(net)
    del net
    assert all(np.isfinite(blob.data).all() and np.isfinite(blob.diff).all() for blob in blobs)
    solver = caffe.SGDSolver("solver.prototxt")
    nets = [solver.net, *solver.test_nets]
    del solver
    assert len(nets) == 2
    assert all(np.isfinite(blob.data).all() for net in nets for blob in all_blobs(net))


def test_a_net_names_its_blobs():
    net = with_labels(caffe.Net("net.prototxt", caffe.TRAIN))
    assert (net.inputs, net.outputs) == ([], ["loss"])
    tops = {"data": ["data", "label"], "conv": ["conv"], "ip": ["ip_blob"], "loss": ["loss"]}
    bottoms = {"data": [], "conv": ["data"], "ip": ["conv"], "loss": ["ip_blob", "label"]}
    assert (dict(net.top_names), dict(net.bottom_names)) == (tops, bottoms)
    assert list(net.layer_dict) == list(tops)
    assert [layer.type for layer in net.layers][1:3] == ["Convolution", "InnerProduct"]


def test_parameter_gradients_are_cleared():
    net = with_labels(caffe.Net("net.prototxt", caffe.TRAIN))
    net.forward()
    net.backward()
    conv = net.params["conv"][0]
    assert conv.diff.max() > 0
    net.clear_param_diffs()
    assert not conv.diff.any()


@pytest.mark.parametrize("form", ["caffemodel", "hdf5"])
def test_what_is_saved_is_read_by_every_constructor(form, folder):
    net = caffe.Net("net.prototxt", caffe.TRAIN)
    if form == "caffemodel":
        net.save("saved")
        others = [
            caffe.Net("net.prototxt", "saved", caffe.TRAIN),
            caffe.Net("net.prototxt", caffe.TRAIN, weights="saved"),
        ]
    else:
        net.save_hdf5("saved")
        others = [caffe.Net("net.prototxt", caffe.TRAIN)]
        others[0].load_hdf5("saved")
    for other in others:
        for name, blobs in net.params.items():
            for blob, read in zip(blobs, other.params[name], strict=True):
                np.testing.assert_array_equal(blob.data, read.data)


RULES = {
    "NoLevel": "",
    "Level0Only": "include { min_level: 0 max_level: 0 }",
    "Level1Only": "include { min_level: 1 max_level: 1 }",
    "Level>=0": "include { min_level: 0 }",
    "Level>=1": "include { min_level: 1 }",
    "A": "include { stage: 'A' }",
    "B": "include { stage: 'B' }",
    "AorB": "include { stage: 'A' } include { stage: 'B' }",
    "AandB": "include { stage: 'A' stage: 'B' }",
}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, ["NoLevel", "Level0Only", "Level>=0"]),
        ({"level": 1}, ["NoLevel", "Level1Only", "Level>=0", "Level>=1"]),
        ({"stages": ["A"]}, ["NoLevel", "Level0Only", "Level>=0", "A", "AorB"]),
        ({"stages": ["B"]}, ["NoLevel", "Level0Only", "Level>=0", "B", "AorB"]),
        ({"stages": ["A", "B"]}, ["NoLevel", "Level0Only", "Level>=0", "A", "B", "AorB", "AandB"]),
    ],
)
def test_levels_and_stages_choose_layers(state, expected, folder):
    layers = "".join(
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "data" top: "{name}" {rule} '
        "inner_product_param { num_output: 1 } }"
        for name, rule in RULES.items()
    )
    data = 'layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 10 } } }'
    (folder / "rules.prototxt").write_text(data + layers)
    net = caffe.Net("rules.prototxt", caffe.TEST, **state)
    assert [name for name in net.blobs if "data" not in name] == expected


ALL_IN_ONE = """
layer { name: 'train_data' type: 'DummyData' top: 'data' top: 'label' include { phase: TRAIN }
  dummy_data_param { shape { dim: 1 dim: 1 dim: 10 dim: 10 } shape { dim: 1 } } }
layer { name: 'val_data' type: 'DummyData' top: 'data' top: 'label' include { phase: TEST stage: 'val' }
  dummy_data_param { shape { dim: 1 dim: 1 dim: 10 dim: 10 } shape { dim: 1 } } }
layer { name: 'deploy_data' type: 'Input' top: 'data' include { phase: TEST stage: 'deploy' }
  input_param { shape { dim: 1 dim: 1 dim: 10 dim: 10 } } }
layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip' inner_product_param { num_output: 2 } }
layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss'
  include { phase: TRAIN } include { phase: TEST stage: 'val' } }
layer { name: 'pred' type: 'Softmax' bottom: 'ip' top: 'pred' include { phase: TEST stage: 'deploy' } }
"""


@pytest.mark.parametrize(
    ("phase", "stages", "outputs"),
    [(caffe.TRAIN, ["train"], ["loss"]), (caffe.TEST, ["val"], ["loss"]), (caffe.TEST, ["deploy"], ["pred"])],
)
def test_one_file_holds_the_nets_for_training_scoring_and_use(phase, stages, outputs, folder):
    (folder / "all.prototxt").write_text(ALL_IN_ONE)
    net = caffe.Net("all.prototxt", phase, stages=stages)
    assert net.outputs == outputs
    assert list(net.forward()) == outputs


def test_a_solver_trains_and_counts():
    solver = caffe.SGDSolver("solver.prototxt")
    caffe.get_solver("solver.prototxt")
    with_labels(solver.net)
    with_labels(solver.test_nets[0])
    assert solver.iter == 0
    solver.solve()
    assert solver.iter == 100


def test_an_update_is_minus_the_rate_times_the_gradient():
    solver = caffe.SGDSolver("solver.prototxt")
    blob = solver.net.layers[1].blobs[0]
    values = blob.data[...]
    values[...] = 0
    blob.diff[...] = 1
    solver.apply_update()
    np.testing.assert_allclose(values, -0.01, atol=1e-7)


def test_a_snapshot_may_be_taken_before_training(folder):
    caffe.SGDSolver("solver.prototxt").snapshot()
    assert (folder / "model_iter_0.caffemodel").is_file()
    assert (folder / "model_iter_0.solverstate").is_file()


LAYERS = """
import caffe

class Tenfold(caffe.Layer):
    def setup(self, bottom, top):
        self.factor = float(self.param_str or 10)
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = self.factor * top[0].diff

class Failing(caffe.Layer):
    def setup(self, bottom, top):
        raise RuntimeError

class Parameter(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        pass
    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1

class Phase(caffe.Layer):
    def setup(self, bottom, top):
        pass
    def reshape(self, bottom, top):
        top[0].reshape()
    def forward(self, bottom, top):
        top[0].data[()] = self.phase
"""
INPUT = "force_backward: true input: 'data' input_shape { dim: 10 dim: 9 dim: 8 }"


def python_net(folder, names, head=INPUT, phase=caffe.TRAIN, text="", last="data"):
    for name in names:
        bottom = f"bottom: '{last}'" if head else ""
        head += (
            f"layer {{ type: 'Python' name: 'l{name}' {bottom} top: '{name}' "
            f"python_param {{ module: 'bvlc_layers' layer: '{name.rstrip('123')}' param_str: '{text}' }} }}"
        )
        last = name
    (folder / "python.prototxt").write_text(head)
    return caffe.Net("python.prototxt", phase)


@pytest.mark.parametrize(("text", "factor"), [("", 10), ("2", 2)])
def test_layers_written_in_python_compute(text, factor, folder):
    net = python_net(folder, ["Tenfold1", "Tenfold2", "Tenfold3"], text=text)
    net.blobs["data"].data[...] = 8
    net.forward()
    assert (net.blobs["Tenfold3"].data == factor**3 * 8).all()
    net.blobs["Tenfold3"].diff[...] = 7
    net.backward()
    assert (net.blobs["data"].diff == factor**3 * 7).all()


def test_layers_written_in_python_follow_their_bottoms(folder):
    net = python_net(folder, ["Tenfold1", "Tenfold2"])
    net.blobs["data"].reshape(4, 4, 4, 4)
    net.forward()
    assert {blob.data.shape for blob in net.blobs.values()} == {(4, 4, 4, 4)}


def test_layers_written_in_python_may_fail(folder):
    with pytest.raises(RuntimeError):
        python_net(folder, ["Failing"])


def test_layers_written_in_python_have_parameters(folder):
    net = python_net(folder, ["Parameter"])
    net.forward()
    net.backward()
    layer = net.layers[list(net._layer_names).index("lParameter")]
    assert (layer.blobs[0].data[0], layer.blobs[0].diff[0]) == (0, 1)
    layer.blobs[0].data[0] += layer.blobs[0].diff[0]
    net.save("weights")
    layer.blobs[0].data[0] = -1
    net.copy_from("weights")
    assert layer.blobs[0].data[0] == 1


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_layers_written_in_python_know_the_phase(phase, folder):
    assert python_net(folder, ["Phase"], head="", phase=phase).forward()["Phase"] == phase


def test_a_net_spec_names_layers_by_itself():
    filler = {"type": "xavier"}
    data, label = L.DummyData(
        shape=[{"dim": [5, 1, 28, 28]}, {"dim": [5, 1, 1, 1]}], transform_param={"scale": 1 / 255}, ntop=2
    )
    conv = L.Convolution(data, kernel_size=5, num_output=2, weight_filler=filler)
    pool = L.Pooling(conv, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    ip = L.InnerProduct(pool, num_output=3, weight_filler=filler)
    relu = L.ReLU(ip, in_place=True)
    loss = L.SoftmaxWithLoss(L.InnerProduct(relu, num_output=2, weight_filler=filler), label)
    proto = loss.to_proto()
    assert proto.layer[4].bottom == proto.layer[4].top
    Path("spec.prototxt").write_text(str(proto))
    assert len(caffe.Net("spec.prototxt", caffe.TEST).layers) == 7


def test_a_net_without_outputs_returns_nothing():
    n = caffe.NetSpec()
    n.data, n.other = L.DummyData(shape={"dim": 3}, ntop=2)
    n.silence, n.more = L.Silence(n.data, ntop=0), L.Silence(n.other, ntop=0)
    Path("spec.prototxt").write_text(str(n.to_proto()))
    assert len(caffe.Net("spec.prototxt", caffe.TEST).forward()) == 0


def test_a_function_takes_tops():
    data = L.DummyData(ntop=2)
    with pytest.raises(TypeError) as caught:
        L.Silence(data, ntop=0)
    assert str(caught.value) == "Silence input 0 is not a Top (type is <class 'tuple'>)"
    L.Silence(*data, ntop=0)


def test_blob_protos_have_both_forms_of_shape():
    values = np.zeros(100)
    assert caffe.io.blobproto_to_array(
        caffe.proto.caffe_pb2.BlobProto(data=values, num=1, channels=1, height=10, width=10)
    ).shape == (1, 1, 10, 10)
    shaped = caffe.proto.caffe_pb2.BlobProto(data=values, shape={"dim": [10, 10]})
    assert caffe.io.blobproto_to_array(shaped).shape == (10, 10)
    with pytest.raises(ValueError, match="number of values"):
        caffe.io.blobproto_to_array(caffe.proto.caffe_pb2.BlobProto(data=values))
    assert caffe.io.blobproto_to_array(caffe.proto.caffe_pb2.BlobProto(data=[123])) == 123


def test_a_datum_without_label_is_smaller():
    labelled, unlabelled = (caffe.io.array_to_datum(np.ones((10, 10, 3)), label) for label in (1, None))
    assert len(labelled.SerializeToString()) > len(unlabelled.SerializeToString())


def test_layer_types_are_listed_and_nccl_is_known():
    assert {"Data", "Convolution", "InnerProduct"} <= set(caffe.layer_type_list())
    assert not caffe.has_nccl() or isinstance(caffe.NCCL.new_uid(), bytes)


def pyramid(kernel=3, stride=1, pad=0, pool=2, up=2, up_pad=0):
    """Convolution, pooling and deconvolution of an image."""
    n = caffe.NetSpec()
    n.data, n.aux = L.Input(shape={"dim": [2, 1, 100, 100]}), L.Input(shape={"dim": [2, 1, 20, 20]})
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=kernel, stride=stride, pad=pad)
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=pool, stride=pool, pad=0)
    n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=2 * up, stride=up, pad=up_pad)
    return n


def test_coordinates_are_mapped_through_layers():
    n = pyramid()
    assert coord_map_from_to(n.deconv, n.data) == (1, 1, 0)
    wide = pyramid(pool=4, up=4)
    assert coord_map_from_to(wide.deconv, wide.data) == (1, 1, -1)
    n.relu = L.ReLU(n.deconv)
    n.same = L.Convolution(n.relu, num_output=10, kernel_size=1, stride=1, pad=0)
    for top in (n.relu, n.same):
        assert coord_map_from_to(top, n.data) == (1, 1, 0)
    n.crop = L.Crop(n.deconv, n.data, axis=2, offset=7)
    assert coord_map_from_to(n.crop, n.data) == (1, 1, 7)
    n.one, n.other = L.Convolution(n.data, n.aux, ntop=2, num_output=10, kernel_size=5, stride=2, pad=0)
    assert coord_map_from_to(n.one, n.data) == coord_map_from_to(n.other, n.aux)


@pytest.mark.parametrize("pad", [0, 3, 10])
def test_padding_moves_coordinates(pad):
    for options, moved in (({"pad": pad}, -pad), ({"up_pad": pad}, pad), ({"pad": pad, "up_pad": pad}, 0)):
        n = pyramid(**options)
        assert coord_map_from_to(n.deconv, n.data) == (1, 1, moved)


def test_axes_are_mapped_apart():
    square, large = pyramid(), pyramid(kernel=5, stride=2, pad=10)
    mixed = pyramid(kernel=[3, 5], stride=[1, 2], pad=[0, 10])
    _, a, b = coord_map_from_to(mixed.deconv, mixed.data)
    for axis, n in enumerate((square, large)):
        assert coord_map_from_to(n.deconv, n.data)[1:] == (a[axis], b[axis])
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [2, 3, 100, 100, 100]})
    n.conv = L.Convolution(n.data, num_output=10, kernel_size=[3, 3, 3], stride=[1, 1, 1], pad=[0, 1, 2])
    n.pool = L.Pooling(n.conv, pool=P.Pooling.MAX, kernel_size=2, stride=2, pad=0)
    n.deconv = L.Deconvolution(n.pool, num_output=10, kernel_size=4, stride=2, pad=0)
    axis, a, b = coord_map_from_to(n.deconv, n.data)
    assert (axis, np.all(a == 1), len(a)) == (1, True, len(b))
    assert b[0] - 1 == b[1] == b[2] + 1


def test_blobs_that_cannot_be_cropped_are_refused():
    n = pyramid()
    crop(n.deconv, n.data)
    n.ip = L.InnerProduct(n.deconv, num_output=10)
    with pytest.raises(RuntimeError):
        coord_map_from_to(n.ip, n.data)
    for n in (pyramid(pool=3), pyramid(up_pad=10)):
        with pytest.raises(AssertionError):
            crop(n.deconv, n.data)
