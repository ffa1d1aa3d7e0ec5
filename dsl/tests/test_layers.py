"""L and P: signatures, help, errors at the call, third-party layers."""

from __future__ import annotations

import inspect
import pydoc
from enum import IntEnum

import numpy as np
import pytest

from cafx.dsl import NetSpec, assign, to_proto
from cafx.dsl import layers as L
from cafx.dsl import params as P
from cafx.kernel import CafxError, Layer, Message, Phase, message, option, registry, schema
from cafx.kernel.schema import FillerParameter, ParamSpec


@message("waving_param")
class WavingParameter(Message):
    """Options of Waving."""

    class Kind(IntEnum):
        """Waveform."""

        SINE = 0
        SQUARE = 1

    rate = option(1, "float", 2.0, doc="waves per second")
    kind = option(2, Kind, Kind.SINE, doc="waveform")
    knots = option(3, "int32", repeated=True, doc="positions of knots")


class Waving(Layer):
    """y = sin(rate x)."""

    Parameter = WavingParameter
    tops = (1, 2)


@pytest.fixture
def waving():
    registry().add("layer", "Waving", Waving)
    yield L.Waving
    registry().remove("layer", "Waving")


def data():
    return L.Input(shape={"dim": [2, 3]})


def test_a_signature_has_every_option_with_its_default():
    parameters = inspect.signature(L.InnerProduct).parameters
    assert parameters["bias_term"].default is True
    assert parameters["bias_term"].annotation is bool
    assert parameters["axis"].default == 1
    assert parameters["weight_filler"].annotation == dict | str
    assert inspect.signature(L.Input).parameters["shape"].annotation == list[dict | list[int]]
    assert parameters["ntop"].default == 1
    assert "bottoms" in parameters
    assert "bottoms" not in inspect.signature(L.Input).parameters


def test_help_documents_every_option():
    text = pydoc.render_doc(L.InnerProduct, renderer=pydoc.plaintext)
    assert "InnerProduct(*bottoms, num_output" in " ".join(text.split()).replace("( ", "(")  # 3.13 breaks the line
    assert "axis (int32, default 1): first axis flattened into" in text
    assert "Y = X Wᵀ + b" in text
    assert "loss_weight (a list of float)" in text


def test_options_are_flat_or_in_their_message_or_both():
    filler = {"type": "constant", "value": 3}
    flat = to_proto(L.InnerProduct(data(), num_output=2, weight_filler=filler)).layer[1]
    nested = to_proto(L.InnerProduct(data(), inner_product_param={"num_output": 2, "weight_filler": filler})).layer[1]
    mixed = to_proto(L.InnerProduct(data(), num_output=2, inner_product_param={"weight_filler": filler})).layer[1]
    assert flat == nested == mixed
    assert flat.inner_product_param.weight_filler.value == 3


def test_values_may_be_numpy_scalars_messages_dicts_or_lists():
    proto = schema()["ParamSpec"](lr_mult=2)
    top = L.InnerProduct(
        data(),
        num_output=np.int64(2),
        bias_term=np.True_,
        axis=None,
        loss_weight=2,
        weight_filler=FillerParameter(type="constant"),
        param=[proto, ParamSpec(lr_mult=0)],
        include={"phase": "TEST", "stage": "deploy"},
        propagate_down=[True],
        transform_param={"mean_value": np.array([1.0, 2.0])},
    )
    layer = to_proto(top).layer[1]
    assert layer.inner_product_param.num_output == 2
    assert not layer.inner_product_param.HasField("axis")
    assert list(layer.loss_weight) == [2]
    assert [spec.lr_mult for spec in layer.param] == [2, 0]
    assert layer.include[0].phase == Phase.TEST
    assert list(layer.transform_param.mean_value) == [1, 2]


def test_no_options_leave_no_message():
    assert not to_proto(L.ReLU(data())).layer[1].HasField("relu_param")


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (lambda: L.InnerProduct(data(), num_outptu=2), "unknown option 'num_outptu'.*did you mean 'num_output'"),
        (lambda: L.InnerProduct(data(), num_output="2"), "num_output='2' is not valid: expected a whole number ≥ 0"),
        (lambda: L.InnerProduct(data(), num_output=-2), "num_output=-2 is not valid"),
        (lambda: L.InnerProduct(data(), weight_filler={"tpye": "x"}), "'tpye' of FillerParameter.*'type'"),
        (lambda: L.InnerProduct(data(), inner_product_param=3), "expected dict"),
        (lambda: L.InnerProduct(data(), mirror=True), r"write transform_param=dict\(mirror=…\)"),
        (
            lambda: L.InnerProduct(data(), include={"phase": "TSET"}),
            r"phase='TSET' is not valid; did you mean 'TEST'\? \(TRAIN, TEST\)",
        ),
        (lambda: L.InnerProduct(), "wrong number of bottoms: got 0, expected 1"),
        (lambda: L.InnerProduct(data(), data()), "wrong number of bottoms: got 2, expected 1"),
        (lambda: L.InnerProduct(data(), num_output=2, ntop=2), "wrong number of tops: got 2, expected 1; .*ntop"),
        (lambda: L.InnerProduct(data(), num_output=2, ntop="2"), "option 'ntop'"),
        (lambda: L.InnerProduct((data(), data())), "bottom 0 is not a top: got a sequence of 2 tops.*unpack"),
        (lambda: L.InnerProduct("data"), "bottom 0 is not a top: got 'data'"),
        (lambda: L.InnerProdct(data()), "unknown layer type 'InnerProdct'; did you mean 'InnerProduct'"),
        (lambda: [*L.ReLU(data())], "returns one top; to unpack two, pass ntop=2"),
        (lambda: P.Filler.FAN_OT, "has no value 'FAN_OT'.*did you mean 'FAN_OUT'"),
        (lambda: P.Filer.FAN_OUT, "there is no message FilerParameter"),
    ],
)
def test_an_error_names_the_line_of_the_call(call, pattern):
    with pytest.raises(CafxError, match=rf"(?s)test_layers\.py:{call.__code__.co_firstlineno}: .*{pattern}"):
        call()


def test_a_layer_registered_in_this_process(waving):
    top = L.Waving(data(), rate=3, kind=P.Waving.SQUARE, knots=[1, 2])
    layer = to_proto(top).layer[1]
    assert (layer.type, layer.waving_param.rate, list(layer.waving_param.knots)) == ("Waving", 3, [1, 2])
    assert layer.waving_param.kind == WavingParameter.Kind.SQUARE
    assert "rate (float, default 2.0): waves per second" in waving.__doc__
    assert "default SINE" in waving.__doc__
    first, second = L.Waving(data(), ntop=2)
    n = NetSpec()
    n.first, n.second = first, second
    assert list(n.to_proto().layer[1].top) == ["first", "second"]


def test_installed_layers_are_attributes():
    assert "ReLU" in dir(L)
    assert not hasattr(L, "NoSuchThing")
    assert L.ReLU is L.ReLU


def test_enum_values_of_the_kernel_s_messages():
    assert P.Filler.FAN_OUT == FillerParameter.VarianceNorm.FAN_OUT
    assert P.Filler.VarianceNorm is FillerParameter.VarianceNorm
    assert P.Solver.ADAM == 5
    assert P.ParamSpec.PERMISSIVE == 1
    assert "NONE" in dir(P.Loss)
    assert "Filler" in dir(P)


def test_assign_sets_any_field():
    net = schema()["NetParameter"]()
    assign(net, "state", {"phase": "TRAIN", "stage": "a"})
    assign(net, "layer", [{"name": "x", "include": {"phase": 1}}, {"name": "y", "loss_weight": [1, 2]}])
    assert net.state.phase == Phase.TRAIN
    assert list(net.state.stage) == ["a"]
    assert [layer.name for layer in net.layer] == ["x", "y"]
    with pytest.raises(CafxError, match="did you mean 'layer'"):
        assign(net, "layr", 1)
    with pytest.raises(CafxError, match="field 'phase' of NetState"):
        assign(net, "state", {"phase": "NEITHER"})
