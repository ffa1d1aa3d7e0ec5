"""Converters of the standard layers beyond what the conformance item `onnx` compares: both ways, any window."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cafx.conformance import plugin_suite
from cafx.kernel import TEST, CafxError, Net, Solver, schema
from cafx_lib_onnx import Session, export_net, import_model, read_model

TestConvolution = plugin_suite("onnx", "Convolution")
TestPooling = plugin_suite("onnx", "Pooling")
TestReLU = plugin_suite("onnx", "ReLU")

TOLERANCE = 1e-4
RNG = np.random.default_rng(7)


def net(text: str) -> Net:
    """A net on the numpy engine."""
    return Net(schema().parse_text(text, "NetParameter"), TEST, engine="numpy", seed=1)


def data(*shape: int) -> str:
    """An Input layer of this shape."""
    dims = " ".join(f"dim: {length}" for length in shape)
    return f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'


def layer(type_name: str, name: str, bottom: str = "data", top: str | None = None, options: str = "") -> str:
    """A layer of one bottom and one top."""
    return f'layer {{ name: "{name}" type: "{type_name}" bottom: "{bottom}" top: "{top or name}" {options} }}\n'


@pytest.mark.slow
@settings(deadline=None)
@given(
    method=st.sampled_from(["MAX", "AVE"]),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pad=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    rounding=st.sampled_from(["CEIL", "FLOOR"]),
)
def test_pooling_by_any_window_is_exact_both_ways(
    method: str, kernel: Any, stride: Any, pad: Any, size: Any, rounding: str
) -> None:
    window = "".join(
        f"{name}_h: {pair[0]} {name}_w: {pair[1]} "
        for name, pair in (("kernel", kernel), ("stride", stride), ("pad", pad))
    )
    options = f"pooling_param {{ pool: {method} {window} round_mode: {rounding} }}"
    try:
        built = net(data(2, 2, *size) + layer("Pooling", "pool", options=options))
    except CafxError:
        assume(False)
    x = RNG.standard_normal((2, 2, *size)).astype(np.float32)
    expected = built.forward(data=x)["pool"]
    exported = export_net(built)
    assert not any(each.name == "ceil_mode" for node in exported.model.graph.node for each in node.attribute)
    np.testing.assert_allclose(Session(exported.model).run({"data": x})["pool"], expected, rtol=1e-5, atol=1e-6)
    again = import_model(exported.model, batch=2)
    assert [each.type for each in again.proto.layer] == ["Input", "Pooling"]
    np.testing.assert_allclose(again.build(engine="numpy").forward(data=x)["pool"], expected, rtol=1e-5, atol=1e-6)


GAUSSIAN = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 }'
CONVOLUTION = f"convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 {GAUSSIAN} }}"
SMALL_NET = (
    data(2, 3, 12, 10)
    + layer("Convolution", "conv1", options=CONVOLUTION)
    + layer("ReLU", "relu1", "conv1", "conv1")
    + layer("LRN", "norm1", "conv1", options="lrn_param { local_size: 3 alpha: 0.1 }")
    + layer("Pooling", "pool1", "norm1", options="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + layer("Convolution", "conv2", "pool1", options=CONVOLUTION.replace("pad: 1", "pad: 1 group: 2"))
    + layer("BatchNorm", "bn2", "conv2", "conv2")
    + layer("Scale", "scale2", "conv2", "conv2", "scale_param { bias_term: true filler { value: 2 } }")
    + layer("PReLU", "prelu2", "conv2", "prelu2")
    + 'layer { name: "sum" type: "Eltwise" bottom: "prelu2" bottom: "pool1" top: "sum" }\n'
    + 'layer { name: "cat" type: "Concat" bottom: "sum" bottom: "pool1" top: "cat" }\n'
    + layer("Pooling", "pool3", "cat", options="pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    + layer("InnerProduct", "ip", "pool3", options=f"inner_product_param {{ num_output: 5 {GAUSSIAN} }}")
    + layer("Softmax", "prob", "ip")
)


IGNORED = ("moving_average_fraction",)


def program(built: Net) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, type and options, without fillers, of each layer but Split."""
    rows = []
    for each in built.layers:
        if each.type != "Split":
            names = [name for name in (each.options.__options__ if each.options else ()) if "filler" not in name]
            options = {name: getattr(each.options, name) for name in names if name not in IGNORED}
            rounded = {k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in options.items()}
            rows.append((each.name, each.type, rounded))
    return rows


def wiring(built: Net) -> list[tuple[list[str], list[str]]]:
    """The blobs that each layer but Split reads and writes."""
    source = {
        top.name: bottoms[0].name for each, bottoms, tops in _layers(built) if each.type == "Split" for top in tops
    }
    rows = [(bottoms, tops) for each, bottoms, tops in _layers(built) if each.type != "Split"]
    return [([source.get(b.name, b.name) for b in bottoms], [t.name for t in tops]) for bottoms, tops in rows]


def _layers(built: Net) -> Any:
    return zip(built.layers, built.bottoms, built.tops, strict=True)


def test_a_net_that_is_exported_and_imported_is_the_same_program() -> None:
    built = net(SMALL_NET)
    for index, value in ((0, RNG.standard_normal(4)), (1, RNG.uniform(1, 2, 4)), (2, [1])):
        built.params["bn2"][index].set_data(value)
    exported = export_net(built)
    again = import_model(exported.model, batch=2).build(engine="numpy")
    assert program(again) == program(built)
    assert wiring(again) == wiring(built)
    x = RNG.standard_normal((2, 3, 12, 10)).astype(np.float32)
    np.testing.assert_allclose(again.forward(data=x)["prob"], built.forward(data=x)["prob"], atol=1e-6)
    assert {name: [blob.shape for blob in blobs] for name, blobs in again.params.items()} == {
        name: [blob.shape for blob in blobs] for name, blobs in built.params.items()
    }


def made(
    nodes: list[Any], opset: int, weights: dict[str, Any], shape: tuple[Any, ...] = ("N", 3, 8, 8)
) -> onnx.ModelProto:
    """A model by hand, as PyTorch's exporters write it."""
    x = helper.make_tensor_value_info("data", TensorProto.FLOAT, list(shape))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "made", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    """A node."""
    return helper.make_node(op, inputs, outputs, name=f"/{outputs[0]}/{op}", **attributes)


def floats(*shape: int) -> Any:
    """Values of a constant."""
    return np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape).astype(np.float32)


FOUR = np.arange(4, dtype=np.float32)
CONV = node("Conv", ["data", "features.0.weight", "features.0.bias"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
CONV_WEIGHTS = {"features.0.weight": floats(4, 3, 3, 3), "features.0.bias": floats(4)}
VIEW = [  # x.view(x.size(0), -1)
    node("Shape", ["c"], ["s"]),
    node("Gather", ["s", "zero"], ["n"], axis=0),
    node("Unsqueeze", ["n", "axes"], ["u"]),
    node("Concat", ["u", "rest"], ["t"], axis=0),
    node("Reshape", ["c", "t"], ["f"]),
    node("Gemm", ["f", "w", "b"], ["y"], transB=1),
]
INTS = {"zero": np.int64(0), "axes": np.array([0]), "rest": np.array([-1])}
MODELS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "view": ([CONV, *VIEW], {**CONV_WEIGHTS, **INTS, "w": floats(5, 256), "b": floats(5)}),
    "batch_norm": (
        [CONV, node("BatchNormalization", ["c", "g", "b", "m", "v"], ["y"], epsilon=1e-3)],
        {**CONV_WEIGHTS, "g": FOUR + 1, "b": FOUR, "m": FOUR / 2, "v": FOUR + 0.5},
    ),
    "relu6": ([node("Clip", ["data", "low", "six"], ["y"])], {"low": np.float32(0), "six": np.float32(6)}),
    "no_upper_bound": ([node("Clip", ["data", "low"], ["y"])], {"low": np.float32(0)}),
    "hard_swish": ([node("HardSwish", ["data"], ["y"])], {}),
    "hard_sigmoid": ([node("HardSigmoid", ["data"], ["y"], alpha=0.3, beta=0.4)], {}),
    "silu": ([node("Sigmoid", ["data"], ["s"]), node("Mul", ["data", "s"], ["y"])], {}),
    "mean": (
        [node("ReduceMean", ["data", "axes"], ["m"], keepdims=0), node("Gemm", ["m", "w"], ["y"])],
        {"axes": np.array([-1, -2]), "w": floats(3, 4)},
    ),
    "matmul_add": (
        [node("Flatten", ["data"], ["f"]), node("MatMul", ["f", "w"], ["m"]), node("Add", ["b", "m"], ["y"])],
        {"w": floats(192, 4), "b": floats(4)},
    ),
    "squeeze_excitation": (
        [
            node("GlobalAveragePool", ["data"], ["p"]),
            node("Conv", ["p", "se.weight"], ["q"]),
            node("Sigmoid", ["q"], ["g"]),
            node("Mul", ["g", "data"], ["y"]),
        ],
        {"se.weight": floats(3, 3, 1, 1)},
    ),
    "ceil_mode": ([node("MaxPool", ["data"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}),
    "same_upper": ([node("MaxPool", ["data"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")], {}),
    "padded_mean": (
        [node("AveragePool", ["data"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
        {},
    ),
    "mean_and_an_unrelated_factor": (
        [
            node("AveragePool", ["data"], ["p"], kernel_shape=[8, 7], strides=[1, 1], count_include_pad=1),
            node("Mul", ["p", "k"], ["y"]),
        ],
        {"k": floats(1, 1, 1, 2)},
    ),
    "transposed": (
        [node("ConvTranspose", ["data", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1], group=3)],
        {"w": floats(3, 2, 4, 4)},
    ),
    "normalised": (
        [node("Sub", ["data", "mean"], ["d"]), node("Div", ["d", "std"], ["y"])],
        {"mean": floats(1, 3, 1, 1), "std": np.abs(floats(3, 1, 1)) + 1},
    ),
    "layer_statistics": (
        [
            node("ReduceMean", ["data", "axes"], ["m"]),
            node("Sub", ["data", "m"], ["d"]),
            node("Mul", ["d", "d"], ["q"]),
            node("ReduceMean", ["q", "axes"], ["v"]),
            node("Sqrt", ["v"], ["r"]),
            node("Div", ["d", "r"], ["y"]),
        ],
        {"axes": np.array([2, 3])},
    ),
    "halves": (
        [
            node("Slice", ["data", "from", "to", "axis"], ["h"]),
            node("Split", ["data", "sizes"], ["a", "b"], axis=1),
            node("Concat", ["h", "b"], ["y"], axis=1),
        ],
        {"from": np.array([1]), "to": np.array([1 << 40]), "axis": np.array([1]), "sizes": np.array([2, 1])},
    ),
    "scalars": (
        [node("Sub", ["one", "data"], ["s"]), node("Pow", ["s", "two"], ["p"]), node("Neg", ["p"], ["y"])],
        {"one": np.float32(1), "two": np.float32(2)},
    ),
    "log_softmax": ([node("LogSoftmax", ["data"], ["y"], axis=-1)], {}),
}


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_imports_and_agrees_with_onnxruntime(name: str, opset: int) -> None:
    nodes, weights = MODELS[name]
    if opset < 18 and any(each.op_type == "ReduceMean" for each in nodes):  # the axes were an attribute then
        nodes = [_with_axes(each, weights) for each in nodes]
        weights = {key: value for key, value in weights.items() if key != "axes"}
    model = made(nodes, opset, weights)
    x = np.random.default_rng(3).standard_normal((2, 3, 8, 8)).astype(np.float32)
    expected = Session(model).run({"data": x})["y"]
    imported = import_model(model, batch=2)
    built = imported.build(engine="numpy")
    built.forward(data=x)
    result = built.blobs[imported.blobs["y"]].host()
    np.testing.assert_allclose(result, expected, rtol=TOLERANCE, atol=TOLERANCE)


def _with_axes(each: Any, weights: dict[str, Any]) -> Any:
    if each.op_type != "ReduceMean":
        return each
    changed = type(each)()
    changed.CopyFrom(each)
    del changed.input[1:]
    changed.attribute.append(helper.make_attribute("axes", weights["axes"].tolist()))
    return changed


def test_layers_have_the_names_of_their_weights() -> None:
    imported = import_model(made(*_of("view"), ("N", 3, 8, 8)))
    assert [(each.name, each.type) for each in imported.proto.layer] == [
        ("data", "Input"),
        ("features.0", "Convolution"),
        ("y/Gemm", "InnerProduct"),
    ]


def _of(name: str) -> tuple[list[Any], int, dict[str, Any]]:
    return MODELS[name][0], 21, MODELS[name][1]


def test_all_that_cannot_be_imported_is_told_at_once() -> None:
    nodes = [
        node("NonZero", ["data"], ["a"]),
        node("Relu", ["data"], ["r"]),
        node("AveragePool", ["r"], ["b"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Conv", ["b", "w"], ["y"], pads=[0, 0, 1, 1]),
    ]
    with pytest.raises(CafxError) as caught:
        import_model(made(nodes, 18, {"w": floats(4, 3, 3, 3)}))
    text = str(caught.value)
    assert text.startswith("3 nodes cannot be imported:")
    for part in (
        "'/a/NonZero' (NonZero): no layer computes",
        "a mean that does not count padding",
        "other padding at the end",
    ):
        assert part in text


def test_a_mean_with_another_factor_than_caffe_s_is_refused() -> None:
    nodes = [
        node(
            "AveragePool", ["data"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1
        ),
        node("Mul", ["p", "k"], ["y"]),
    ]
    with pytest.raises(CafxError, match="a mean that does not count padding as Caffe does"):
        import_model(made(nodes, 18, {"k": np.full((1, 1, 4, 4), 1.5, np.float32)}))


def test_an_imported_net_trains() -> None:
    nodes = [
        CONV,
        node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("GlobalAveragePool", ["r"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "fc.weight"], ["y"], transB=1),
    ]
    weights = {**CONV_WEIGHTS, "g": FOUR + 1, "b": FOUR, "m": FOUR / 2, "v": FOUR + 0.5, "fc.weight": floats(2, 4)}
    imported = import_model(made(nodes, 21, weights), batch=8)
    imported.proto.layer.add(name="label", type="Input", top=["label"]).input_param.shape.add().dim.append(8)
    imported.proto.layer.add(name="loss", type="SoftmaxWithLoss", bottom=["y", "label"], top=["loss"])
    message = schema().parse_text('base_lr: 0.1 lr_policy: "fixed" max_iter: 20 type: "SGD"', "SolverParameter")
    message.net_param.CopyFrom(imported.proto)
    solver = Solver(message, engine="numpy")
    solver.net.copy_from(imported.build(engine="numpy"))
    x = np.random.default_rng(0).standard_normal((8, 3, 8, 8))
    solver.net.blobs["data"].set_data(x)
    solver.net.blobs["label"].set_data(np.arange(8) % 2)
    solver.step(1)
    first = solver.net.loss
    solver.step(19)
    assert solver.net.loss < first / 2


@pytest.mark.slow
@settings(deadline=None)
@given(
    name=st.sampled_from(sorted(MODELS)),
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 20), st.integers(0, 255), st.sampled_from("=-+")), min_size=1, max_size=5
    ),
)
def test_a_damaged_model_is_imported_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[int, int, str]]
) -> None:
    content = bytearray(made(MODELS[name][0], 21, MODELS[name][1]).SerializeToString())
    for position, value, kind in changes:
        at = position % len(content)
        content[at : at + (kind != "+")] = b"" if kind == "-" else bytes([value])
    path = tmp_path_factory.mktemp("damaged") / "m.onnx"
    path.write_bytes(content)
    try:
        built = import_model(read_model(path), batch=2).build(engine="numpy")
    except CafxError:
        return
    assert built.layers


def test_lstm_continues_where_cont_says() -> None:
    text = data(4, 2, 3) + (
        'layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 4 dim: 2 } } }\n'
        'layer { name: "lstm" type: "LSTM" bottom: "data" bottom: "cont" top: "lstm"\n'
        f"recurrent_param {{ num_output: 5 {GAUSSIAN} }} }}"
    )
    built = net(text)
    exported = export_net(built)
    dims = exported.model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == [4, "N", 3], "streams stay open, time steps do not"
    assert sum(each.name.startswith("lstm") for each in exported.model.graph.initializer) < 12, (
        "weights are stored once"
    )
    x = RNG.standard_normal((4, 2, 3)).astype(np.float32)
    for cont in (np.array([[0, 0], [1, 1], [1, 0], [1, 1]]), np.array([[0, 0], [1, 1], [1, 1], [1, 1]])):
        fresh = net(text)
        fresh.copy_from(built)
        expected = fresh.forward(data=x, cont=cont)["lstm"]
        result = Session(exported.model).run({"data": x, "cont": cont})["lstm"]
        np.testing.assert_allclose(result, expected, atol=1e-5)
