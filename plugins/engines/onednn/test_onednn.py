"""The engine against NumPy on whole nets: training, fusion, fallbacks, changing shapes, threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.conformance import plugin_suite
from cafx.conformance.nets import (
    assert_all_near,
    assert_near,
    feed,
    net_of_text,
    param_gradients,
    param_values,
    record_calls,
    run_passes,
    solver_of_text,
)
from cafx.kernel import CafxError, Net, Phase, Solver, registry
from cafx.kernel.blob import HOST
from cafx.kernel.training import plain_history
from cafx_engine_onednn import OneDNN
from cafx_engine_onednn import engine as engine_module
from cafx_engine_onednn.api.constants import DataType
from cafx_engine_onednn.api.library import Library, load
from cafx_engine_onednn.layouts import Blocked
from cafx_engine_onednn.routine import Accelerated

TestOneDNN = plugin_suite("engine", "onednn")

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

TOLERANCE = 2e-4
"""Relative to the largest value: float32 sums in a different order."""
TRAINED_TOLERANCE = 2e-3
"""The same after several updates, which amplify differences."""

INPUTS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 17 dim: 17 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
"""
FILL = 'weight_filler { type: "msra" } bias_filler { type: "constant" value: 0.1 }'
HEAD = f"""
layer {{ name: "fc" type: "InnerProduct" bottom: "BOTTOM" top: "fc"
  inner_product_param {{ num_output: 5 {FILL} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }}
"""


def conv(name: str, bottom: str, outputs: int, more: str = "", params: str = "") -> str:
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" {params}
      convolution_param {{ num_output: {outputs} kernel_size: 3 pad: 1 {more} {FILL} }} }}"""


def relu(blob: str, slope: float = 0.0) -> str:
    return f"""layer {{ name: "relu_{blob}" type: "ReLU" bottom: "{blob}" top: "{blob}"
      relu_param {{ negative_slope: {slope} }} }}"""


def layer(name: str, kind: str, bottoms: Sequence[str], top: str, more: str = "") -> str:
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top}" {more} }}\n'


MAX = "pooling_param { kernel_size: 3 stride: 2 }"
AVERAGE = "pooling_param { pool: AVE kernel_size: 2 stride: 2 }"
SHIFTED = "scale_param { bias_term: true }"
SHARED = 'param { name: "w" } param { name: "b" }'


def network(*layers: str, score: str) -> str:
    """Inputs, these layers, and a classifier on the blob ``score``."""
    return "\n".join((INPUTS, *layers, HEAD.replace("BOTTOM", score)))


def frozen(weights: int, bias: int) -> str:
    return f"param {{ lr_mult: {weights} }} param {{ lr_mult: {bias} }}"


NETS = {
    "plain": network(
        conv("c1", "data", 16),
        relu("c1"),
        layer("p1", "Pooling", ["c1"], "p1", MAX),
        conv("c2", "p1", 32, "group: 2"),
        relu("c2", 0.1),
        layer("n", "LRN", ["c2"], "n"),
        layer("p2", "Pooling", ["n"], "p2", AVERAGE),
        score="p2",
    ),
    "odd": network(
        conv("c1", "data", 7),
        layer("p1", "Pooling", ["c1"], "p1", MAX),
        conv("c2", "p1", 9, "dilation: 2"),
        relu("c2"),
        layer("d", "Dropout", ["c2"], "c2"),
        score="c2",
    ),
    "residual": network(
        conv("c1", "data", 16, "bias_term: false"),
        layer("bn1", "BatchNorm", ["c1"], "c1"),
        layer("s1", "Scale", ["c1"], "c1", SHIFTED),
        relu("c1"),
        conv("c2", "c1", 16),
        layer("bn2", "BatchNorm", ["c2"], "c2"),
        layer("s2", "Scale", ["c2"], "c2", SHIFTED),
        layer("e", "Eltwise", ["c1", "c2"], "e"),
        relu("e"),
        conv("c3", "e", 16),
        relu("c3"),
        layer("e2", "Eltwise", ["e", "c3"], "e2", "eltwise_param { coeff: 1 coeff: 0.5 }"),
        score="e2",
    ),
    "branches": network(
        conv("c1", "data", 16),
        relu("c1"),
        conv("c2", "c1", 16),
        relu("c2"),
        conv("c3", "c1", 32),
        layer("cat", "Concat", ["c2", "c3", "c1"], "cat"),
        conv("c4", "cat", 8),
        layer("cat2", "Concat", ["c4", "cat"], "cat2"),
        layer("dropped", "Dropout", ["cat2"], "cat2"),
        score="cat2",
    ),
    "shared": network(
        conv("c1", "data", 16),
        conv("c2", "c1", 16, params=SHARED),
        relu("c2"),
        conv("c3", "c2", 16, params=SHARED),
        relu("c3"),
        score="c3",
    ),
    "frozen": network(
        conv("c1", "data", 16, params=frozen(0, 0)),
        relu("c1"),
        conv("c2", "c1", 16, params=frozen(0, 1)),
        relu("c2"),
        conv("c3", "c2", 16, params=frozen(1, 0)),
        score="c3",
    ),
}
every_net = pytest.mark.parametrize("name", NETS)


def pair(name: str, phase: Phase = Phase.TRAIN, **settings: Any) -> tuple[Net, Net]:
    """One of `NETS` on the NumPy engine and on oneDNN."""
    numpy, onednn = (net_of_text(NETS[name], phase, engine=each, **settings) for each in ("numpy", "onednn"))
    return numpy, onednn


def blob_values(net: Net) -> dict[str, npt.NDArray[Any]]:
    return {name: blob.host() for name, blob in net.blobs.items()}


@pytest.mark.slow
@every_net
@pytest.mark.parametrize("phase", Phase)
def test_values_and_gradients_match_numpy(name: str, phase: Phase) -> None:
    nets = pair(name, phase, seed=3)
    for net in nets:
        feed(net)
        run_passes(net, 2)
    expected, results = (blob_values(net) | param_values(net) | param_gradients(net) for net in nets)
    assert_all_near(results, expected, TOLERANCE)
    assert_near(nets[1].blobs["c1"].diff, nets[0].blobs["c1"].diff, TOLERANCE, "the gradient of c1")


SOLVER = "base_lr: 0.01 momentum: 0.9 weight_decay: 0.001 lr_policy: 'fixed' max_iter: 100 "
VARIANTS = ("", "iter_size: 2", "clip_gradients: 0.5", "type: 'Adam' momentum2: 0.99", "regularization_type: 'L1'")


def fed_solver(name: str, engine: str | OneDNN, more: str = "") -> Solver:
    solver = solver_of_text(NETS[name], SOLVER + more, engine=engine, seed=5)
    feed(solver.net)
    return solver


@pytest.mark.slow
@pytest.mark.parametrize("more", VARIANTS)
@every_net
def test_training_matches_numpy(name: str, more: str) -> None:
    numpy, onednn = fed_solver(name, "numpy", more), fed_solver(name, "onednn", more)
    for _ in range(4):
        expected, result = numpy.step(), onednn.step()
        assert result == pytest.approx(expected, rel=TRAINED_TOLERANCE)
    assert_all_near(param_values(onednn.net), param_values(numpy.net), TRAINED_TOLERANCE)
    for history, expected in zip(plain_history(onednn.update), plain_history(numpy.update), strict=True):
        assert_near(history, expected, TRAINED_TOLERANCE, "history")


def test_weights_stay_in_the_layout_their_primitives_prefer() -> None:
    solver = fed_solver("plain", "onednn")
    solver.step()
    weights = solver.net.params["c2"][0]
    assert any(isinstance(place, Blocked) for place in weights.synced_data.current)
    assert all(isinstance(place, Blocked) for place in weights.synced_diff.current)


TESTED = "test_iter: 1 test_interval: 1000 test_initialization: false"


@pytest.mark.slow
def test_test_nets_see_every_update() -> None:
    scores = []
    for engine in ("numpy", "onednn"):
        solver = fed_solver("residual", engine, TESTED)
        losses = []
        for _ in range(3):
            solver.step(2)
            feed(solver.test_nets[0], 9)
            losses.append(float(solver.test()["loss"]))
        scores.append(losses)
    assert scores[1] == pytest.approx(scores[0], rel=TRAINED_TOLERANCE)
    notes = [step.note for step in solver.test_nets[0].program.steps]
    assert any("folded" in note for note in notes)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    more = f"snapshot_prefix: '{tmp_path}/s'"
    first, second = fed_solver("plain", "onednn", more), fed_solver("plain", "onednn", more)
    first.step(2)
    _, state = first.snapshot()
    second.restore(state)
    first.step(2)
    second.step(2)
    assert_all_near(param_values(second.net), param_values(first.net), 0)


def notes_of(net: Net) -> dict[str, tuple[str, str]]:
    return {step.name: (step.run_by, step.note) for step in net.program.steps}


def test_the_program_describes_its_fusions() -> None:
    steps = notes_of(net_of_text(NETS["residual"], engine="onednn"))
    assert steps["c1+bn1+s1+relu_c1" if "c1+bn1+s1+relu_c1" in steps else "bn1+s1+relu_c1"][0] == "onednn"
    assert steps["e+relu_e"] == ("onednn", "fused ReLU")
    steps = notes_of(net_of_text(NETS["plain"], engine="onednn"))
    assert "c1+relu_c1+p1" in steps


@every_net
def test_routines_are_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = record_calls(monkeypatch, Accelerated)
    net = net_of_text(NETS[name], engine="onednn")
    feed(net)
    run_passes(net)
    for direction in ("forward", "backward"):
        assert {"Convolution", "InnerProduct"} <= {call.type for call in calls if call.direction == direction}


def test_float64_runs_plain() -> None:
    net = net_of_text(NETS["plain"], engine="onednn", dtype=np.float64)
    assert {step.run_by for step in net.program.steps} == {"plain"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "odd", "residual", "branches"])
def test_batch_sizes_may_change_repeatedly(name: str) -> None:
    numpy, onednn = pair(name, Phase.TEST, seed=2)
    for batch in (4, 7, 1, 4, 0, 2):
        rng = np.random.default_rng(batch)
        data = rng.standard_normal((batch, 3, 17, 17), np.float32)
        inputs = {"data": data, "label": rng.integers(0, 5, batch)}
        expected, results = numpy.forward(**inputs), onednn.forward(**inputs)
        assert_near(results["loss"], expected["loss"], TOLERANCE, f"batch {batch}")
        numpy.run_backward()
        onednn.run_backward()
        assert_near(onednn.blobs["c1"].diff, numpy.blobs["c1"].diff, TOLERANCE, f"batch {batch}")


def test_a_range_that_splits_a_fusion_runs_its_parts() -> None:
    numpy, onednn = pair("plain", seed=2)
    for net in (numpy, onednn):
        feed(net)
        net.run_forward(end="c1")
    assert_near(onednn.blobs["c1"].data, numpy.blobs["c1"].data, TOLERANCE, "before the ReLU")
    for net in (numpy, onednn):
        net.run_forward(start="relu_c1")
        net.blobs["n"].mutable_diff[...] = 1
        net.run_backward(start="n", end="p1")
        net.run_backward(start="relu_c1")
    for blob in ("c1", "fc"):
        assert_near(onednn.blobs[blob].data, numpy.blobs[blob].data, TOLERANCE, blob)
    assert_near(onednn.blobs["c1"].diff, numpy.blobs["c1"].diff, TOLERANCE, "gradient of c1")


def test_values_written_by_the_user_are_read() -> None:
    numpy, onednn = pair("plain", Phase.TEST, seed=2)
    for net in (numpy, onednn):
        feed(net)
        net.run_forward()
        net.blobs["p1"].mutable_data[...] *= 2
        net.params["c2"][0].mutable_data[...] += 0.5
        net.run_forward(start="c2")
    assert_near(onednn.blobs["fc"].data, numpy.blobs["fc"].data, TOLERANCE, "fc")


def test_buffer_sharing_does_not_change_gradients() -> None:
    nets = [net_of_text(NETS["residual"], engine="onednn", seed=2, keep=keep) for keep in ("all", "outputs")]
    for net in nets:
        for _ in range(2):
            feed(net)
            run_passes(net)
    unshared, shared = map(param_gradients, nets)
    assert_all_near(shared, unshared, 0)


def test_an_inference_net_stores_weights_once() -> None:
    numpy, onednn = pair("plain", Phase.TEST, seed=2, keep="outputs")
    weights = onednn.params["c2"][0]
    for factor in (1, 2):
        for net in (numpy, onednn):
            feed(net)
            net.params["c2"][0].mutable_data[...] *= factor
            net.run_forward()
        assert not weights.synced_data.is_current(HOST)
        assert_near(onednn.blobs["loss"].data, numpy.blobs["loss"].data, TOLERANCE, "loss")
    np.testing.assert_array_equal(weights.data, numpy.params["c2"][0].data)


@pytest.mark.slow
def test_threads_run_separate_nets_in_parallel() -> None:
    single, *nets = (net_of_text(NETS["branches"], Phase.TEST, engine="onednn", seed=2) for _ in range(4))
    for net in (single, *nets):
        feed(net)
    expected = single.forward()["loss"]
    losses: list[Any] = []

    def run(net: Net) -> None:
        losses.extend(net.forward()["loss"] for _ in range(5))

    threads = [threading.Thread(target=run, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(losses) == 15
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_onednn_is_the_default_engine_where_available() -> None:
    assert net_of_text(NETS["plain"]).engine.name == "onednn"
    assert registry().load("engine", "onednn").priority > 0


needs_bf16 = pytest.mark.skipif(
    OneDNN.unavailable() is not None or not load().has_bf16, reason="no bfloat16 arithmetic"
)
BF16_TOLERANCE = 0.15
"""bfloat16 keeps 8 bits; rounding errors add up, and ReLUs near 0 switch."""


def bf16_engine() -> OneDNN:
    return OneDNN(registry(), precision="bf16")


@pytest.mark.slow
@needs_bf16
@every_net
def test_bfloat16_is_close_to_float32(name: str) -> None:
    exact, rounded = (net_of_text(NETS[name], engine=engine, seed=3) for engine in ("numpy", bf16_engine()))
    for net in (exact, rounded):
        feed(net)
        run_passes(net)
    assert rounded.loss == pytest.approx(exact.loss, rel=BF16_TOLERANCE)
    for key, blobs in exact.params.items():
        gradient, expected = rounded.params[key][0].diff, blobs[0].diff
        error = float(np.linalg.norm(gradient - expected))
        assert error <= BF16_TOLERANCE * max(1e-3, float(np.linalg.norm(expected))), key


@needs_bf16
def test_bfloat16_training_keeps_float32_master_weights() -> None:
    solver = fed_solver("plain", bf16_engine())
    first = solver.step()
    last = min(solver.step() for _ in range(20))
    assert last < first
    weights = solver.net.params["c2"][0].synced_data
    assert {weights.read(place).dtype for place in weights.current} >= {np.dtype("f4")}


@pytest.mark.skipif(OneDNN.unavailable() is not None or not load().has_amx, reason="the processor has no AMX")
def test_bfloat16_runs_on_amx() -> None:
    net = net_of_text(NETS["plain"], engine=bf16_engine(), seed=3)
    feed(net)
    run_passes(net)
    descs = [getattr(step.routines[0], "forward_desc", None) for step in net.program.steps]
    assert any("amx" in desc.implementation for desc in descs if desc)


@pytest.mark.parametrize(("milliseconds", "told"), [(8, True), (1, False)])
def test_bfloat16_that_is_slower_than_float32_is_told_once(
    milliseconds: int, told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = {DataType.F32: 4e-3, DataType.BF16: milliseconds * 1e-3}
    monkeypatch.setattr(engine_module, "square_product", lambda _, kind, __: partial(time.sleep, seconds[kind]))
    monkeypatch.setattr(Library, "has_bf16", True)
    engine_module.tell_if_bf16_is_slower.cache_clear()
    with caplog.at_level("WARNING", "cafx"):
        for _ in range(2):
            bf16_engine()
    engine_module.tell_if_bf16_is_slower.cache_clear()
    assert len([each for each in caplog.records if "times the speed of float32" in each.message]) == int(told)


def test_an_unknown_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFX_PRECISION", "float8")
    for engine in ("numpy", "onednn"):
        with pytest.raises(CafxError, match="precision"):
            net_of_text(NETS["plain"], engine=engine)
