"""The engine when something fails, when several nets and threads are at work, and over many iterations."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import CafxError, Net, Phase, Solver, schema
from cafx_engine_onednn import OneDNN
from cafx_engine_onednn.api.library import load

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 32 dim: 1 dim: 8 dim: 8 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 32 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "grown" type: "Deconvolution" bottom: "pool" top: "grown"
  convolution_param { num_output: 8 kernel_size: 2 stride: 2 weight_filler { type: "msra" } } }
layer { name: "tanh" type: "TanH" bottom: "grown" top: "grown" }
layer { name: "fc" type: "InnerProduct" bottom: "grown" top: "fc"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
SOLVER = "base_lr: 0.01 lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.0005 max_iter: 1000"
OUT_OF_MEMORY = 1
NO_IMPLEMENTATION = 3


def digits(rng: np.random.Generator, count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of ten kinds, each kind of a pattern of its own."""
    patterns = np.random.default_rng(7).standard_normal((10, 1, 8, 8))
    labels = rng.integers(0, 10, count)
    return (patterns[labels] + rng.standard_normal((count, 1, 8, 8))).astype(np.float32), labels


def feed(net: Net, rng: np.random.Generator) -> None:
    for name, values in zip(("data", "label"), digits(rng), strict=True):
        net.blobs[name].set_data(values)


def made(engine: str = "onednn") -> Net:
    net = Net(schema().parse_text(NET, "NetParameter"), Phase.TRAIN, engine=engine, seed=3)
    feed(net, np.random.default_rng(0))
    return net


def solver(engine: str = "onednn", dtype: type = np.float32) -> Solver:
    options = schema().parse_text(SOLVER, "SolverParameter")
    options.net_param.CopyFrom(schema().parse_text(NET, "NetParameter"))
    return Solver(options, engine=engine, seed=3, dtype=dtype)


def losses(one: Solver, count: int) -> list[float]:
    rng, found = np.random.default_rng(1), []
    for _ in range(count):
        feed(one.net, rng)
        found.append(float(one.step()))
    return found


def test_a_primitive_that_fails_is_named_and_the_net_goes_on_when_it_works_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever call it is."""
    library, countdown = load(), itertools.repeat(1)
    execute = library.execute

    def failing(*arguments: Any) -> int:
        return int(execute(*arguments)) if next(countdown) else OUT_OF_MEMORY

    monkeypatch.setattr(library, "execute", failing)
    net, told = made(), set()
    net.run_forward()
    expected = net.blobs["loss"].host()
    for calls in range(100):
        countdown = itertools.chain([1] * calls, [0], itertools.repeat(1))
        error = error_of(net)
        if error is None:
            break
        assert "out of memory from dnnl_primitive_execute" in str(error)
        told.add(str(error.where).split(" of ")[0])
    else:
        pytest.fail("calls without end")
    assert {
        "convolution forward",
        "convolution backward weights",
        "batch normalization forward",
        "tanh forward",
    } <= told
    countdown = itertools.repeat(1)
    net.run_forward()
    assert net.blobs["loss"].host() == pytest.approx(expected, rel=1e-6)


def error_of(net: Net) -> CafxError | None:
    """What goes wrong in a pass."""
    try:
        net.run_forward()
        net.run_backward()
    except CafxError as error:
        return error
    return None


def test_a_primitive_that_cannot_be_made_leaves_its_layer_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made("numpy")
    expected.run_forward()
    name = "convolution_backward_data_primitive_desc_create"
    monkeypatch.setitem(load()._functions, name, lambda *_: NO_IMPLEMENTATION)
    net = made()
    net.run_forward()
    steps = {step.name: step for step in net.program.parts}
    assert steps["grown"].run_by == "plain"
    assert "unimplemented" in steps["grown"].note
    assert steps["fc"].run_by == "onednn"
    assert net.blobs["loss"].host() == pytest.approx(expected.blobs["loss"].host(), rel=1e-4)


def test_the_schedule_shows_what_runs_plain_and_why(tmp_path: Path) -> None:
    text = NET.replace('type: "TanH" bottom: "grown"', 'type: "ELU" elu_param { alpha: -1 } bottom: "grown"')
    (tmp_path / "net.prototxt").write_text(text)
    command = [sys.executable, "-m", "cafx.cli", "net", str(tmp_path / "net.prototxt"), "--engine", "onednn"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "a negative alpha" in shown


def test_nets_taken_in_turns_do_what_each_does_alone() -> None:
    alone = losses(solver(), 4)
    solvers = [solver(), solver(), solver("numpy")]
    rngs = [np.random.default_rng(1) for _ in solvers]
    for expected in alone:
        for one, rng in zip(solvers, rngs, strict=True):
            feed(one.net, rng)
            assert float(one.step()) == pytest.approx(expected, rel=1e-3 if one is solvers[2] else 1e-6)


def test_threads_train_a_net_each_as_if_alone() -> None:
    alone, found = losses(solver(), 8), []
    solvers = [solver() for _ in range(3)]
    threads = [threading.Thread(target=lambda one=one: found.append(losses(one, 8))) for one in solvers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(found, [alone] * 3, rtol=1e-6)


@pytest.mark.slow
def test_it_stays_as_near_as_float32_stays_to_float64() -> None:
    """Over 500 iterations; numpy's own distance from exact numbers says what near is."""
    exact, plain, fast = (
        np.array(losses(solver(engine, dtype), 500))
        for engine, dtype in (("numpy", np.float64), ("numpy", np.float32), ("onednn", np.float32))
    )
    noise, distance = np.abs(plain - exact), np.abs(fast - exact)
    assert exact[-50:].mean() < 0.5 * exact[:50].mean(), "it learns"
    assert distance.mean() <= 3 * noise.mean()
    assert distance.max() <= 5 * noise.max()
