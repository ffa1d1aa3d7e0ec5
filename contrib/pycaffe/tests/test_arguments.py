"""Arguments of wrong types and values: errors that name them, and that scripts catch."""

from __future__ import annotations

from fractions import Fraction

import caffe
import numpy as np
import pytest
from caffe.arguments import ArgumentError, UnknownBlobError

from cafx.kernel import CafxError

NET = """
name: "net" force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
"""
SIZE = (2, 3)
NOT_NUMBERS = {
    "None": None,
    "text": "abc",
    "bytes": b"ab",
    "rows of different lengths": [[1, 2, 3], [1, 2]],
    "texts": [["a", "b", "c"]] * 2,
    "Nones": [[None] * 3] * 2,
    "complex numbers": np.zeros(SIZE, complex),
    "times": np.zeros(SIZE, "M8[s]"),
    "records": np.zeros(SIZE, [("a", int)]),
    "a dictionary": {},
    "an object": object(),
    "a generator": (each for each in range(2)),
    "a number": 5,
    "another batch size": np.zeros((3, 3)),
    "another width": np.zeros((2, 4)),
    "more axes": np.zeros((2, 3, 1)),
    "nothing": [],
}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "x"'
    )
    return "net.prototxt"


@pytest.fixture
def net(path):
    return caffe.Net(path, caffe.TEST)


@pytest.mark.parametrize("values", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_what_is_no_array_for_a_blob_is_refused(net, values):
    for call in (lambda: net.forward(x=values), lambda: net.backward(y=values)):
        with pytest.raises(CafxError) as caught:
            call()
        assert isinstance(caught.value, (ValueError, TypeError))


@pytest.mark.parametrize("values", [5, None, "abc", [[None]], [[1], [1, 2]], {}], ids=repr)
def test_what_is_no_array_of_examples_is_refused(net, values):
    with pytest.raises(ArgumentError):
        net.forward_all(x=values)
    with pytest.raises(ArgumentError):
        net.forward_backward_all(x=np.zeros(SIZE), y=values)


def test_examples_have_names_and_equal_numbers(net):
    with pytest.raises(ArgumentError, match="equally many examples"):
        net.forward_all()
    with pytest.raises(ArgumentError, match="equally many examples"):
        net.forward_backward_all(x=np.zeros(SIZE), y=np.zeros((3, 2)))
    with pytest.raises(ArgumentError, match="unknown blob: got 'z', expected one of x"):
        net.forward_all(z=np.zeros(SIZE))


@pytest.mark.parametrize(
    "values", [[[1, 2, 3]] * 2, [[True, False, True]] * 2, [[Fraction(1, 2), 1, 2.0]] * 2, np.ones(SIZE, "f2")]
)
def test_all_kinds_of_real_numbers_are_taken(net, values):
    net.forward(x=values)
    np.testing.assert_array_equal(net.blobs["x"].data, np.array(values).astype(np.float32))


@pytest.mark.parametrize("name", ["nope", 5, None, ["x"]], ids=repr)
def test_a_blob_that_is_not_there_is_a_key_error(net, name):
    for call in (lambda: net.forward([name]), lambda: net.backward([name])):
        with pytest.raises(UnknownBlobError, match="no such blob"):
            call()
    assert issubclass(UnknownBlobError, KeyError)


@pytest.mark.parametrize("layer", ["nope", 5, ["ip"]], ids=repr)
def test_a_pass_begins_and_ends_at_layers(net, layer):
    for call in (net.forward, net.backward):
        for argument in ("start", "end"):
            with pytest.raises(ArgumentError, match="unknown layer"):
                call(**{argument: layer})


@pytest.mark.parametrize("value", [None, 5, b"net.prototxt", "", "a\0b", ["net.prototxt"]], ids=repr)
def test_what_is_no_path_is_refused(net, value):
    calls = [
        lambda: caffe.Net(value, caffe.TEST),
        lambda: caffe.get_solver(value),
        lambda: net.copy_from(value),
        lambda: net.save(value),
        lambda: net.save_hdf5(value),
        lambda: net.load_hdf5(value),
        lambda: caffe.get_solver("solver.prototxt").restore(value),
    ]
    for call in calls:
        with pytest.raises(ArgumentError, match="is not the path of"):
            call()


def test_a_path_that_is_too_long_is_an_error(net):
    for call in (net.copy_from, net.save, lambda path: caffe.Net(path, caffe.TEST)):
        with pytest.raises(CafxError):
            call("a" * 5000)


@pytest.mark.parametrize(
    "arguments",
    [
        {"phase": 7},
        {"phase": "TEST"},
        {"phase": None},
        {"level": "high"},
        {"level": 1.5},
        {"stages": 5},
        {"stages": "deploy"},
        {"stages": [5]},
    ],
    ids=repr,
)
def test_a_net_has_a_phase_and_a_state(path, arguments):
    with pytest.raises(ArgumentError):
        caffe.Net(path, **{"phase": caffe.TEST, **arguments})


@pytest.mark.parametrize("shape", [("a",), (None,), (-1, 3), (1.5, 3), ([2, 3],), (float("nan"),)], ids=repr)
def test_what_is_no_shape_is_refused(net, shape):
    with pytest.raises(CafxError):
        net.blobs["x"].reshape(*shape)
    assert net.blobs["x"].shape == SIZE


def test_lengths_may_be_numbers_of_numpy_and_whole_floats(net):
    net.blobs["x"].reshape(np.int64(4), 3.0)
    assert net.blobs["x"].shape == (4, 3)


@pytest.mark.parametrize("other", [None, 5, "net.prototxt"], ids=repr)
def test_parameters_are_shared_with_a_net(net, other):
    with pytest.raises(ArgumentError, match="needs a net"):
        net.share_with(other)


@pytest.mark.parametrize("dims", [(3, 21, 54), (-1, 3, 4), (2, 3, -4), (0, 0, 0), (2, 3, 5)])
@pytest.mark.parametrize("field", [{"data": bytes(24)}, {"float_data": [0.0] * 24}])
def test_a_datum_of_another_size_is_refused(dims, field):
    channels, height, width = dims
    datum = caffe.proto.caffe_pb2.Datum(channels=channels, height=height, width=width, **field)
    with pytest.raises(ArgumentError, match="another number of values than its shape"):
        caffe.io.datum_to_array(datum)


@pytest.mark.parametrize("dims", [(2,), (2, -3), (10**9, 10**9), (0, 3)])
def test_a_blob_proto_of_another_size_is_refused(dims):
    blob = caffe.proto.caffe_pb2.BlobProto(data=[0.0] * 6, shape={"dim": dims})
    with pytest.raises(ArgumentError, match="another number of values than its shape"):
        caffe.io.blobproto_to_array(blob)
