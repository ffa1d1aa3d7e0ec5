"""The engine against numpy: whole nets trained, fused steps, fallbacks, shapes that change, threads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.conformance import Case
from cafx.conformance.harness import Trial
from cafx.kernel import CafxError, Net, Phase, Solver, registry, schema
from cafx.kernel.blob import HOST
from cafx.kernel.training import plain_history
from cafx_engine_onednn import OneDNN
from cafx_engine_onednn.api.library import load
from cafx_engine_onednn.layouts import Blocked
from cafx_engine_onednn.routine import Accelerated

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

TOLERANCE = 2e-4
"""Of the largest value: float32 sums in another order."""
TRAINED_TOLERANCE = 2e-3
"""The same after some updates, through which differences grow."""

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
SHARED = 'param { name: "w" } param { name: "b" }'
NETS = {
    "plain": INPUTS + conv("c1", "data", 16) + relu("c1") + layer("p1", "Pooling", ["c1"], "p1", MAX)
    + conv("c2", "p1", 32, "group: 2") + relu("c2", 0.1) + layer("n", "LRN", ["c2"], "n")
    + layer("p2", "Pooling", ["n"], "p2", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    + HEAD.replace("BOTTOM", "p2"),
    "odd": INPUTS + conv("c1", "data", 7) + layer("p1", "Pooling", ["c1"], "p1", MAX)
    + conv("c2", "p1", 9, "dilation: 2") + relu("c2")
    + layer("d", "Dropout", ["c2"], "c2") + HEAD.replace("BOTTOM", "c2"),
    "residual": INPUTS + conv("c1", "data", 16, "bias_term: false")
    + layer("bn1", "BatchNorm", ["c1"], "c1") + layer("s1", "Scale", ["c1"], "c1", "scale_param { bias_term: true }")
    + relu("c1") + conv("c2", "c1", 16) + layer("bn2", "BatchNorm", ["c2"], "c2")
    + layer("s2", "Scale", ["c2"], "c2", "scale_param { bias_term: true }")
    + layer("e", "Eltwise", ["c1", "c2"], "e") + relu("e") + conv("c3", "e", 16) + relu("c3")
    + layer("e2", "Eltwise", ["e", "c3"], "e2", "eltwise_param { coeff: 1 coeff: 0.5 }")
    + HEAD.replace("BOTTOM", "e2"),
    "branches": INPUTS + conv("c1", "data", 16) + relu("c1") + conv("c2", "c1", 16) + relu("c2")
    + conv("c3", "c1", 32) + layer("cat", "Concat", ["c2", "c3", "c1"], "cat")
    + conv("c4", "cat", 8) + layer("cat2", "Concat", ["c4", "cat"], "cat2")
    + layer("dropped", "Dropout", ["cat2"], "cat2") + HEAD.replace("BOTTOM", "cat2"),
    "shared": INPUTS + conv("c1", "data", 16) + conv("c2", "c1", 16, params=SHARED) + relu("c2")
    + conv("c3", "c2", 16, params=SHARED) + relu("c3") + HEAD.replace("BOTTOM", "c3"),
    "frozen": INPUTS + conv("c1", "data", 16, params="param { lr_mult: 0 } param { lr_mult: 0 }") + relu("c1")
    + conv("c2", "c1", 16, params="param { lr_mult: 0 } param { lr_mult: 1 }") + relu("c2")
    + conv("c3", "c2", 16, params="param { lr_mult: 1 } param { lr_mult: 0 }")
    + HEAD.replace("BOTTOM", "c3"),
}  # fmt: skip


def parsed(text: str) -> Any:
    return schema().parse_text(text, "NetParameter")


def values_for(net: Net, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(seed)
    shape = net.blobs["data"].shape
    return {"data": rng.standard_normal(shape, np.float32), "label": rng.integers(0, 5, shape[:1])}


def feed(net: Net, seed: int = 0) -> None:
    for name, value in values_for(net, seed).items():
        net.blobs[name].set_data(value)


def close(found: Any, expected: Any, what: str, tolerance: float = TOLERANCE) -> None:
    allowed = tolerance * np.abs(expected).max(initial=1e-2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed, err_msg=what)


def passed(net: Net) -> dict[str, npt.NDArray[Any]]:
    """Everything that can be read after a pass."""
    found = {name: blob.host() for name, blob in net.blobs.items()}
    for name, blobs in net.params.items():
        for index, blob in enumerate(blobs):
            found[f"{name}.{index}"] = blob.host()
            found[f"{name}.{index} diff"] = blob.diff.copy()
    return found


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("phase", Phase)
def test_a_net_computes_what_numpy_computes(name: str, phase: Phase) -> None:
    results = []
    for engine in ("numpy", "onednn"):
        net = Net(parsed(NETS[name]), phase, engine=engine, seed=3)
        for _ in range(2):
            feed(net)
            net.run_forward()
            net.clear_param_diffs()
            net.run_backward()
        results.append((passed(net), net.blobs["c1"].diff.copy()))
    for key, expected in results[0][0].items():
        close(results[1][0][key], expected, key)
    close(results[1][1], results[0][1], "the gradient of c1")


RATE = "base_lr: 0.01 momentum: 0.9 weight_decay: 0.001 lr_policy: 'fixed' max_iter: 100 "
SOLVERS = ("", "iter_size: 2", "clip_gradients: 0.5", "type: 'Adam' momentum2: 0.99", "regularization_type: 'L1'")


def solver_of(name: str, engine: str, more: str = "", tests: bool = False) -> Solver:
    options = schema().parse_text(RATE + more, "SolverParameter")
    options.net_param.CopyFrom(parsed(NETS[name]))
    if tests:
        options.test_iter.append(1)
        options.test_interval = 1000
        options.test_initialization = False
    solver = Solver(options, engine=engine, seed=5)
    feed(solver.net)
    return solver


@pytest.mark.parametrize("more", SOLVERS)
@pytest.mark.parametrize("name", NETS)
def test_training_follows_numpy(name: str, more: str) -> None:
    plain, fast = solver_of(name, "numpy", more), solver_of(name, "onednn", more)
    for _ in range(4):
        expected, found = plain.step(), fast.step()
        assert found == pytest.approx(expected, rel=TRAINED_TOLERANCE)
    for key, blobs in plain.net.params.items():
        for one, two in zip(blobs, fast.net.params[key], strict=True):
            close(two.host(), one.host(), key, TRAINED_TOLERANCE)
    for one, two in zip(plain_history(plain.update), plain_history(fast.update), strict=True):
        close(two, one, "history", TRAINED_TOLERANCE)


def test_weights_stay_in_the_layout_their_primitives_want() -> None:
    solver = solver_of("plain", "onednn")
    solver.step()
    weights = solver.net.params["c2"][0]
    assert any(isinstance(place, Blocked) for place in weights.synced_data.current)
    assert all(isinstance(place, Blocked) for place in weights.synced_diff.current)


def test_a_test_net_sees_every_update() -> None:
    scores = []
    for engine in ("numpy", "onednn"):
        solver = solver_of("residual", engine, tests=True)
        seen = []
        for _ in range(3):
            solver.step(2)
            feed(solver.test_nets[0], 9)
            seen.append(float(solver.test()["loss"]))
        scores.append(seen)
    assert scores[1] == pytest.approx(scores[0], rel=TRAINED_TOLERANCE)
    notes = [step.note for step in solver.test_nets[0].program.steps]
    assert any("folded" in note for note in notes)


def test_a_resumed_run_equals_one_that_went_on(tmp_path: Path) -> None:
    more = f"snapshot_prefix: '{tmp_path}/s'"
    first, second = solver_of("plain", "onednn", more), solver_of("plain", "onednn", more)
    first.step(2)
    _, state = first.snapshot()
    second.restore(state)
    first.step(2)
    second.step(2)
    for key, blobs in first.net.params.items():
        np.testing.assert_array_equal(second.net.params[key][0].host(), blobs[0].host())


def notes_of(net: Net) -> dict[str, tuple[str, str]]:
    return {step.name: (step.run_by, step.note) for step in net.program.steps}


def test_the_schedule_tells_what_was_fused() -> None:
    steps = notes_of(Net(parsed(NETS["residual"]), Phase.TRAIN, engine="onednn"))
    assert steps["c1+bn1+s1+relu_c1" if "c1+bn1+s1+relu_c1" in steps else "bn1+s1+relu_c1"][0] == "onednn"
    assert steps["e+relu_e"] == ("onednn", "fused ReLU")
    steps = notes_of(Net(parsed(NETS["plain"]), Phase.TRAIN, engine="onednn"))
    assert "c1+relu_c1+p1" in steps


@pytest.mark.parametrize("name", NETS)
def test_the_accelerated_routine_is_really_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()
    for way in ("forward", "backward"):
        plain = getattr(Accelerated, way)

        def spied(self: Accelerated, plain: Any = plain, way: str = way) -> None:
            called.add(f"{way} {self.layer.type}")
            plain(self)

        monkeypatch.setattr(Accelerated, way, spied)
    net = Net(parsed(NETS[name]), Phase.TRAIN, engine="onednn")
    feed(net)
    net.run_forward()
    net.run_backward()
    for way in ("forward", "backward"):
        assert {f"{way} Convolution", f"{way} InnerProduct"} <= called


@pytest.mark.parametrize(
    ("type_name", "case", "reason"),
    [
        ("Pooling", Case("mask", (2, 3, 6, 6), options={"kernel_size": 2}, tops=2), "mask"),
        ("Pooling", Case("drawn", (2, 3, 6, 6), options={"kernel_size": 2, "pool": "STOCHASTIC"}), "STOCHASTIC"),
        ("Eltwise", Case("product", (2, 3), (2, 3), options={"operation": "PROD"}), "only SUM"),
        ("Dropout", Case("drawn", (2, 3)), "draws"),
        ("Convolution", Case("empty", (0, 3, 5, 5), options={"num_output": 2, "kernel_size": [3]}), "empty"),
        ("InnerProduct", Case("turned", (2, 3), options={"num_output": 2, "transpose": True}), "transposed"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_runs_plain_and_says_why(type_name: str, case: Case, reason: str) -> None:
    step = Trial(type_name, case, engine="onednn").net.program.parts[-1]
    assert step.run_by == "plain"
    assert reason in step.note


def test_float64_runs_plain() -> None:
    net = Net(parsed(NETS["plain"]), engine="onednn", dtype=np.float64)
    assert {step.run_by for step in net.program.steps} == {"plain"}


@pytest.mark.parametrize("name", ["plain", "odd", "residual", "branches"])
def test_shapes_go_back_and_forth(name: str) -> None:
    plain, fast = (Net(parsed(NETS[name]), Phase.TEST, engine=engine, seed=2) for engine in ("numpy", "onednn"))
    for batch in (4, 7, 1, 4, 0, 2):
        rng = np.random.default_rng(batch)
        data = rng.standard_normal((batch, 3, 17, 17), np.float32)
        fed = {"data": data, "label": rng.integers(0, 5, batch)}
        expected, found = plain.forward(**fed), fast.forward(**fed)
        close(found["loss"], expected["loss"], f"batch {batch}")
        plain.run_backward()
        fast.run_backward()
        close(fast.blobs["c1"].diff, plain.blobs["c1"].diff, f"batch {batch}")


def test_a_pass_cut_inside_a_fusion_runs_its_parts() -> None:
    plain, fast = (Net(parsed(NETS["plain"]), Phase.TRAIN, engine=engine, seed=2) for engine in ("numpy", "onednn"))
    for net in (plain, fast):
        feed(net)
        net.run_forward(end="c1")
    close(fast.blobs["c1"].data, plain.blobs["c1"].data, "before the unit")
    for net in (plain, fast):
        net.run_forward(start="relu_c1")
        net.blobs["n"].mutable_diff[...] = 1
        net.run_backward(start="n", end="p1")
        net.run_backward(start="relu_c1")
    for blob in ("c1", "fc"):
        close(fast.blobs[blob].data, plain.blobs[blob].data, blob)
    close(fast.blobs["c1"].diff, plain.blobs["c1"].diff, "gradient of c1")


def test_blobs_written_from_outside_are_seen() -> None:
    plain, fast = (Net(parsed(NETS["plain"]), Phase.TEST, engine=engine, seed=2) for engine in ("numpy", "onednn"))
    for net in (plain, fast):
        feed(net)
        net.run_forward()
        net.blobs["p1"].mutable_data[...] *= 2
        net.params["c2"][0].mutable_data[...] += 0.5
        net.run_forward(start="c2")
    close(fast.blobs["fc"].data, plain.blobs["fc"].data, "fc")


def test_blobs_that_share_memory_give_the_same_gradients() -> None:
    nets = [Net(parsed(NETS["residual"]), Phase.TRAIN, engine="onednn", seed=2, keep=k) for k in ("all", "outputs")]
    for net in nets:
        for _ in range(2):
            feed(net)
            net.clear_param_diffs()
            net.run_forward()
            net.run_backward()
    for key, blobs in nets[0].params.items():
        for one, two in zip(blobs, nets[1].params[key], strict=True):
            np.testing.assert_array_equal(one.diff, two.diff, err_msg=key)


def test_a_net_that_never_goes_back_holds_weights_once() -> None:
    plain, fast = (
        Net(parsed(NETS["plain"]), Phase.TEST, engine=engine, seed=2, keep="outputs") for engine in ("numpy", "onednn")
    )
    weights = fast.params["c2"][0]
    for factor in (1, 2):
        for net in (plain, fast):
            feed(net)
            net.params["c2"][0].mutable_data[...] *= factor
            net.run_forward()
        assert not weights.synced_data.is_current(HOST)
        close(fast.blobs["loss"].data, plain.blobs["loss"].data, "loss")
    np.testing.assert_array_equal(weights.data, plain.params["c2"][0].data)


def test_several_threads_each_run_a_net() -> None:
    expected = Net(parsed(NETS["branches"]), Phase.TEST, engine="onednn", seed=2)
    feed(expected)
    wanted = expected.forward()["loss"]
    nets = [Net(parsed(NETS["branches"]), Phase.TEST, engine="onednn", seed=2) for _ in range(3)]
    for net in nets:
        feed(net)
    found: list[Any] = []

    def run(net: Net) -> None:
        found.extend(net.forward()["loss"] for _ in range(5))

    threads = [threading.Thread(target=run, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 15
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_it_is_the_default_where_it_runs() -> None:
    assert Net(parsed(NETS["plain"])).engine.name == "onednn"
    assert registry().load("engine", "onednn").priority > 0


def test_a_failure_inside_is_an_error_a_person_can_read() -> None:
    from cafx_engine_onednn.api.library import failure

    error = failure("convolution forward of 2x3", "primitive_execute", 1)
    assert isinstance(error, CafxError)
    assert "convolution forward of 2x3" in str(error)
    assert "out of memory" in str(error)


needs_bf16 = pytest.mark.skipif(
    OneDNN.unavailable() is not None or not load().has_bf16, reason="no bfloat16 on this processor"
)
BF16_TOLERANCE = 0.15
"""A bfloat16 has 8 bits; roundings add up, and units near 0 switch."""


def bf16_engine() -> OneDNN:
    return OneDNN(registry(), precision="bf16")


@needs_bf16
@pytest.mark.parametrize("name", NETS)
def test_bf16_is_near_float32(name: str) -> None:
    plain = Net(parsed(NETS[name]), Phase.TRAIN, engine="numpy", seed=3)
    fast = Net(parsed(NETS[name]), Phase.TRAIN, engine=bf16_engine(), seed=3)
    for net in (plain, fast):
        feed(net)
        net.run_forward()
        net.run_backward()
    assert fast.loss == pytest.approx(plain.loss, rel=BF16_TOLERANCE)
    for key, blobs in plain.params.items():
        found, expected = fast.params[key][0].diff, blobs[0].diff
        error = float(np.linalg.norm(found - expected))
        assert error <= BF16_TOLERANCE * max(1e-3, float(np.linalg.norm(expected))), key


@needs_bf16
def test_bf16_keeps_master_weights_in_float32() -> None:
    options = schema().parse_text(RATE, "SolverParameter")
    options.net_param.CopyFrom(parsed(NETS["plain"]))
    solver = Solver(options, engine=bf16_engine(), seed=5)
    feed(solver.net)
    first = solver.step()
    last = min(solver.step() for _ in range(20))
    assert last < first
    weights = solver.net.params["c2"][0].synced_data
    assert {weights.read(place).dtype for place in weights.current} >= {np.dtype("f4")}


def test_a_precision_it_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFX_PRECISION", "float8")
    for engine in ("numpy", "onednn"):
        with pytest.raises(CafxError, match="precision"):
            Net(parsed(NETS["plain"]), engine=engine)
