"""Forward passes joined into few foreign calls give what steps one by one give."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cafx.conformance.nets import assert_near, net_of_text
from cafx.kernel import Net, Phase
from cafx_engine_onednn import OneDNN, native

REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
recording = pytest.importorskip("cafx_engine_onednn.recording", exc_type=ImportError)

TOLERANCE = 2e-5
SHAPE = (2, 3, 24, 24)
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 24 dim: 24 } } }'
FILLERS = 'weight_filler { type: "msra" } bias_filler { type: "uniform" min: -0.1 max: 0.1 }'


def layer(kind: str, bottom: str, top: str, options: str = "") -> str:
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split("+"))
    return f'layer {{ name: "{top}_{kind}" type: "{kind}" {bottoms} top: "{top}" {options} }}'


def convolution(bottom: str, top: str, outputs: int, options: str) -> str:
    return layer("Convolution", bottom, top, f"convolution_param {{ num_output: {outputs} {options} {FILLERS} }}")


NETS = {
    "prelu": [
        convolution("data", "a", 10, "kernel_size: 3"),
        layer("PReLU", "a", "a"),
        layer("Pooling", "a", "b", "pooling_param { kernel_size: 2 stride: 2 }"),
        convolution("b", "c", 16, "kernel_size: 3"),
        layer("PReLU", "c", "c"),
        convolution("c", "d", 2, "kernel_size: 1"),
        layer("Softmax", "d", "p"),
        convolution("c", "q", 4, "kernel_size: 1"),
    ],
    "branches": [
        convolution("data", "a", 64, "kernel_size: 3 pad: 1"),
        layer("ReLU", "a", "a"),
        convolution("a", "b", 64, "kernel_size: 3 pad: 1"),
        layer("ReLU", "b", "b"),
        convolution("a", "c", 16, "kernel_size: 1"),
        layer("Concat", "b+c", "d"),
        layer("LRN", "d", "e"),
        layer("Pooling", "e", "f", "pooling_param { pool: AVE global_pooling: true }"),
        layer("InnerProduct", "f", "g", f"inner_product_param {{ num_output: 7 {FILLERS} }}"),
    ],
    "normalised": [
        convolution("data", "a", 32, "kernel_size: 3 stride: 2"),
        layer("BatchNorm", "a", "a"),
        layer("Scale", "a", "a", "scale_param { bias_term: true }"),
        layer("ReLU", "a", "a"),
        convolution("a", "b", 32, "kernel_size: 3 pad: 1"),
        layer("BatchNorm", "b", "b"),
        layer("Eltwise", "a+b", "c"),
        layer("ReLU", "c", "c"),
    ],
    "plain between": [
        convolution("data", "a", 16, "kernel_size: 3"),
        layer("ReLU", "a", "a"),
        layer("TanH", "a", "a"),
        layer("Exp", "a", "b", "exp_param { scale: 0.1 }"),
        convolution("b", "c", 16, "kernel_size: 3"),
        layer("ReLU", "c", "c"),
        layer("Reshape", "c", "d", "reshape_param { shape { dim: 0 dim: -1 } }"),
        layer("InnerProduct", "d", "e", f"inner_product_param {{ num_output: 7 {FILLERS} }}"),
        layer("ReLU", "e", "e"),
        layer("Sigmoid", "e", "f"),
    ],
    "converted in between": [
        convolution("data", "a", 16, "kernel_size: 3"),
        layer("AbsVal", "a", "b"),
        layer("Dropout", "a", "c"),
        convolution("b", "d", 16, "kernel_size: 3"),
        convolution("c", "e", 16, "kernel_size: 3"),
        layer("Concat", "d+e", "f"),
        layer("Exp", "f", "g", "exp_param { scale: 0.1 }"),
    ],
    "in place": [
        layer("ReLU", "data", "data"),
        convolution("data", "a", 16, "kernel_size: 3"),
        layer("ReLU", "a", "a"),
        layer("TanH", "a", "a"),
        layer("Pooling", "a", "b", "pooling_param { kernel_size: 3 stride: 2 }"),
    ],
}


def make(name: str, **options: Any) -> Net:
    settings = {"engine": "onednn", "seed": 1, "keep": "outputs"} | options
    return net_of_text("\n".join([INPUT, *NETS[name]]), Phase.TEST, **settings)


def images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE, np.float32)


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        assert_near(found[name], values, TOLERANCE)


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of calls of each table that has run."""
    ran: list[int] = []
    run: Callable[[Any], None] = recording.Table.run

    def counting(self: Any) -> None:
        ran.append(len(self))
        run(self)

    monkeypatch.setattr(recording.Table, "run", counting)
    return ran


every_net = pytest.mark.parametrize("name", NETS)


@pytest.mark.slow
@every_net
@pytest.mark.parametrize("keep", ["outputs", "all"])
def test_passes_agree_with_numpy_and_are_joined(name: str, keep: str, tables: list[int]) -> None:
    net, reference = make(name, keep=keep), make(name, engine="numpy")
    for seed in range(4):
        assert_same(net.forward(data=images(seed)), reference.forward(data=images(seed)))
    parts = {"plain between": 2}.get(name, 1)
    assert len(tables) == (0 if net.program.plan.has_backward else 3 * parts)
    assert all(calls > 1 for calls in tables)


@pytest.mark.slow
@every_net
def test_changed_parameters_are_used(name: str) -> None:
    net, reference = make(name), make(name, engine="numpy")
    rng = np.random.default_rng(0)
    for seed in range(3):
        assert_same(net.forward(data=images(seed)), reference.forward(data=images(seed)))
        for key, blobs in reference.params.items():
            for mine, theirs in zip(net.params[key], blobs, strict=True):
                values = theirs.host() + rng.uniform(0, 0.1, theirs.shape)
                mine.set_data(values)
                theirs.set_data(values)


@pytest.mark.slow
@every_net
def test_values_that_are_not_numbers_come_through_and_leave_nothing_behind(name: str) -> None:
    net, reference = make(name), make(name, engine="numpy")
    for seed in range(8):
        data = images(seed)
        if seed in (1, 3, 4, 5, 6):
            data[0, 1, 7, 9] = np.nan
        with np.errstate(invalid="ignore", over="ignore"):
            found, expected = net.forward(data=data), reference.forward(data=data)
        for top, values in expected.items():
            np.testing.assert_array_equal(np.isnan(found[top]), np.isnan(values))
            assert_near(np.nan_to_num(found[top]), np.nan_to_num(values), TOLERANCE)


@pytest.mark.slow
@every_net
def test_another_shape_and_back(name: str) -> None:
    net, reference = make(name), make(name, engine="numpy")
    if name == "plain between":
        sizes: tuple[tuple[int, ...], ...] = (SHAPE, (1, *SHAPE[1:]), SHAPE)
    else:
        sizes = (SHAPE, (1, 3, 30, 20), SHAPE)
    for size in sizes:
        for seed in range(3):
            data = np.random.default_rng(seed).standard_normal(size, np.float32)
            assert_same(net.forward(data=data), reference.forward(data=data))


def test_blobs_read_between_passes_are_those_of_the_last_one() -> None:
    net, reference = (make("branches", keep="all", engine=each) for each in ("onednn", "numpy"))
    for seed in range(3):
        net.forward(data=images(seed))
        reference.forward(data=images(seed))
        for name in ("b", "d", "g"):
            assert_near(net.blobs[name].data, reference.blobs[name].data, TOLERANCE)


@pytest.mark.slow
def test_passes_over_a_part_do_not_disturb_joined_ones() -> None:
    net, reference = make("branches"), make("branches", engine="numpy")
    for seed in range(3):
        assert_same(net.forward(data=images(seed)), reference.forward(data=images(seed)))
        for each in (net, reference):
            each.blobs["data"].set_data(images(seed + 10))
        assert_near(net.forward(end="c_Convolution")["c"], reference.forward(end="c_Convolution")["c"], TOLERANCE)


def test_nets_that_share_weights_see_each_other() -> None:
    net, other, reference = make("prelu"), make("prelu"), make("prelu", engine="numpy")
    other.share_with(net)
    for seed in range(3):
        blob = net.params["a_Convolution"][0]
        blob.set_data(blob.host() * 1.5)
        reference.params["a_Convolution"][0].set_data(blob.host())
        expected = reference.forward(data=images(seed))
        for each in (other, net):
            assert_same(each.forward(data=images(seed)), expected)


def test_a_table_makes_all_calls_in_order_and_reports_the_first_failure() -> None:
    calls: list[tuple[int, ...]] = []

    def called(*numbers: int) -> int:
        calls.append(numbers)
        return 3 if numbers[0] == 40 else 0

    function = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_int64] * 4)(called)
    address = ctypes.cast(function, ctypes.c_void_p).value
    rows = [recording.Row(address, [index, -index], where=f"row {index}") for index in range(70)]
    with pytest.raises(Exception, match="row 40"):
        recording.Table(rows).run()
    assert calls == [(index, -index, 0, 0) for index in range(2 * recording.LONGEST)]
    calls.clear()
    recording.Table(rows[:40]).run()
    assert len(calls) == 40
