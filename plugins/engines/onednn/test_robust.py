"""The engine under failures, with several nets and threads, and over many iterations."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance.nets import net_of_text, solver_of_text
from cafx.kernel import CafxError, Net, Solver
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


def labelled_images(rng: np.random.Generator, count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of ten classes, each with its own pattern."""
    patterns = np.random.default_rng(7).standard_normal((10, 1, 8, 8))
    labels = rng.integers(0, 10, count)
    return (patterns[labels] + rng.standard_normal((count, 1, 8, 8))).astype(np.float32), labels


def feed_batch(net: Net, rng: np.random.Generator) -> None:
    for name, values in zip(("data", "label"), labelled_images(rng), strict=True):
        net.blobs[name].set_data(values)


def fed_net(engine: str = "onednn") -> Net:
    net = net_of_text(NET, engine=engine, seed=3)
    feed_batch(net, np.random.default_rng(0))
    return net


def new_solver(engine: str = "onednn", dtype: type = np.float32) -> Solver:
    return solver_of_text(NET, SOLVER, engine=engine, seed=3, dtype=dtype)


def train(solver: Solver, iterations: int) -> list[float]:
    """The loss of every iteration."""
    rng, losses = np.random.default_rng(1), []
    for _ in range(iterations):
        feed_batch(solver.net, rng)
        losses.append(float(solver.step()))
    return losses


@pytest.mark.slow
def test_a_failed_call_is_named_and_the_net_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of a pass fails once; afterwards the net computes what it did before."""
    library, countdown = load(), itertools.repeat(1)
    execute = library.execute

    def failing(*arguments: Any) -> int:
        return int(execute(*arguments)) if next(countdown) else OUT_OF_MEMORY

    monkeypatch.setattr(library, "execute", failing)
    net, failed = fed_net(), set()
    net.run_forward()
    expected = net.blobs["loss"].host()
    for calls in range(100):
        countdown = itertools.chain([1] * calls, [0], itertools.repeat(1))
        error = error_of(net)
        if error is None:
            break
        assert "out of memory from dnnl_primitive_execute" in str(error)
        failed.add(str(error.where).split(" of ")[0])
    else:
        pytest.fail("a pass has more than 100 calls")
    assert {"convolution forward", "convolution backward weights", "tanh forward"} <= failed
    countdown = itertools.repeat(1)
    net.run_forward()
    assert net.blobs["loss"].host() == pytest.approx(expected, rel=1e-6)


def error_of(net: Net) -> CafxError | None:
    """The error of a pass, if any."""
    try:
        net.run_forward()
        net.run_backward()
    except CafxError as error:
        return error
    return None


def test_a_layer_whose_primitive_is_unimplemented_runs_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fed_net("numpy")
    expected.run_forward()
    name = "convolution_backward_data_primitive_desc_create"
    monkeypatch.setitem(load()._functions, name, lambda *_: NO_IMPLEMENTATION)
    net = fed_net()
    net.run_forward()
    steps = {step.name: step for step in net.program.parts}
    assert steps["grown"].run_by == "plain"
    assert "unimplemented" in steps["grown"].note
    assert steps["fc"].run_by == "onednn"
    assert net.blobs["loss"].host() == pytest.approx(expected.blobs["loss"].host(), rel=1e-4)


@pytest.mark.slow
def test_the_net_command_shows_why_a_layer_runs_plain(tmp_path: Path) -> None:
    text = NET.replace('type: "TanH" bottom: "grown"', 'type: "ELU" elu_param { alpha: -1 } bottom: "grown"')
    (tmp_path / "net.prototxt").write_text(text)
    command = [sys.executable, "-m", "cafx.cli", "net", str(tmp_path / "net.prototxt"), "--engine", "onednn"]
    environment = {**os.environ, "COLUMNS": "250"}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "a negative alpha" in output


@pytest.mark.slow
def test_interleaved_solvers_do_not_interfere() -> None:
    expected_losses = train(new_solver(), 4)
    solvers = [new_solver(), new_solver(), new_solver("numpy")]
    rngs = [np.random.default_rng(1) for _ in solvers]
    for expected in expected_losses:
        for solver, rng in zip(solvers, rngs, strict=True):
            feed_batch(solver.net, rng)
            assert float(solver.step()) == pytest.approx(expected, rel=1e-3 if solver is solvers[2] else 1e-6)


@pytest.mark.slow
def test_solvers_in_parallel_threads_do_not_interfere() -> None:
    expected, losses = train(new_solver(), 8), []
    solvers = [new_solver() for _ in range(3)]
    threads = [threading.Thread(target=lambda solver=solver: losses.append(train(solver, 8))) for solver in solvers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(losses, [expected] * 3, rtol=1e-6)


@pytest.mark.slow
def test_training_drifts_no_more_than_float32_rounding_explains() -> None:
    """Over 500 iterations, compared with the drift of NumPy's float32 from float64."""
    exact, numpy, onednn = (
        np.array(train(new_solver(engine, dtype), 500))
        for engine, dtype in (("numpy", np.float64), ("numpy", np.float32), ("onednn", np.float32))
    )
    noise, drift = np.abs(numpy - exact), np.abs(onednn - exact)
    assert exact[-50:].mean() < 0.5 * exact[:50].mean()
    assert drift.mean() <= 3 * noise.mean()
    assert drift.max() <= 5 * noise.max()
