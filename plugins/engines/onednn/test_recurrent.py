"""LSTM and RNN by the engine's own kernels: functions, packed weights, what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance.nets import assert_near, net_of_text
from cafx.kernel import Net, Phase
from cafx_engine_onednn import OneDNN, native
from cafx_engine_onednn.api.memory import Memory, MemoryDesc

valuewise = pytest.importorskip("cafx_engine_onednn.valuewise", exc_type=ImportError)
products = pytest.importorskip("cafx_engine_onednn.recurrent.products", exc_type=ImportError)

REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
both_types = pytest.mark.parametrize("type_name", ["RNN", "LSTM"])
STEPS, STREAMS, INPUTS, UNITS = 4, 13, 9, 37
NET = """
force_backward: {force}
layer {{ name: "x" type: "Input" top: "x" top: "cont"
  input_param {{ shape {{ dim: 4 dim: 13 dim: 9 }} shape {{ dim: 4 dim: 13 }} }} }}
layer {{ name: "recurrent" type: "{type}" bottom: "x" bottom: "cont" top: "y" loss_weight: 1 {param}
  recurrent_param {{ num_output: 37 weight_filler {{ type: "uniform" min: -0.3 max: 0.3 }} }} }}
"""
RNG = np.random.default_rng(3)
X, DY = RNG.standard_normal((STEPS, STREAMS, INPUTS)), RNG.standard_normal((STEPS, STREAMS, UNITS))
CONT = (RNG.random((STEPS, STREAMS)) > 0.3).astype(np.float32)


def build(type_name: str, engine: str, phase: Phase = Phase.TRAIN, param: str = "") -> Net:
    return net_of_text(
        NET.format(type=type_name, param=param, force=str(not param).lower()), phase, engine=engine, seed=1
    )


def computed(function: str, values: np.ndarray) -> np.ndarray:
    memory = Memory(MemoryDesc.plain((values.size,)))
    memory.array.view(np.float32)[:] = values
    buffers: dict[str, Memory] = {}

    def scratch(name: str, count: int) -> Memory:
        return buffers.setdefault(name, Memory(MemoryDesc.plain((count,))))

    valuewise.program(function, (memory, memory, memory), (0.0, 0.0), threads=1, scratch=scratch)()
    result: np.ndarray = memory.array.view(np.float32)
    return result


def test_tanh_is_near_everywhere_and_keeps_nan() -> None:
    spread = np.concatenate([10.0 ** np.arange(-38, 38), np.linspace(0, 12, 20_001)])
    values = np.concatenate([spread, -spread, [np.inf, -np.inf, np.nan]]).astype(np.float32)
    expected = np.tanh(values.astype(np.float64))
    found = computed("tanh", values)
    np.testing.assert_allclose(found, expected, rtol=5e-7, atol=0)
    assert np.abs(found[np.isfinite(found)]).max() == 1


@pytest.mark.parametrize(("streams", "most"), [(1, 6), (6, 6), (7, 6), (16, 6), (100, 6), (5, 1), (13, 12)])
def test_groups_cover_all_streams_once(streams: int, most: int) -> None:
    covered = [
        first + group * rows + row
        for rows, first, groups in products.row_groups(streams, most)
        for group in range(groups)
        for row in range(rows)
    ]
    assert covered == list(range(streams))
    assert max(rows for rows, _, _ in products.row_groups(streams, most)) <= most


@both_types
def test_the_steps_are_run_by_the_engine(type_name: str) -> None:
    assert build(type_name, "onednn").program.steps[-1].run_by == "onednn"


@both_types
def test_weights_that_change_are_packed_again(type_name: str) -> None:
    nets = [build(type_name, engine, Phase.TEST) for engine in ("numpy", "onednn")]
    for scale in (1.0, 0.5):
        results = []
        for net in nets:
            for blob in net.layers[-1].blobs:
                blob.set_data(blob.data * scale)
            results.append(net.forward(x=X, cont=CONT)["y"].copy())
        assert_near(results[1], results[0], 1e-5)


@both_types
@pytest.mark.parametrize("fixed", range(3))
def test_parameters_that_are_not_learned_keep_their_gradients(type_name: str, fixed: int) -> None:
    count = 5 if type_name == "RNN" else 3
    param = " ".join(f"param {{ lr_mult: {int(index != fixed)} }}" for index in range(count))
    plain, fast = (trained(build(type_name, engine, param=param)) for engine in ("numpy", "onednn"))
    for index, (expected, found) in enumerate(zip(plain, fast, strict=True)):
        assert found.any() == (index != fixed)
        assert_near(found, expected, 1e-5)


@both_types
def test_a_second_backward_pass_adds_the_same_gradients(type_name: str) -> None:
    net = build(type_name, "onednn")
    once = trained(net)
    net.backward(y=DY)
    for gradient, blob in zip(once, net.layers[-1].blobs, strict=True):
        assert_near(blob.diff, 2 * gradient, 1e-5)


def trained(net: Net) -> list[Any]:
    """The gradients of all parameters."""
    net.forward(x=X, cont=CONT)
    net.clear_param_diffs()
    net.backward(y=DY)
    return [blob.diff.copy() for blob in net.layers[-1].blobs]
