"""Every solver, policy and update option against a second implementation of Caffe's rules in NumPy."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cafx.conformance import cuda as standin
from cafx.kernel import Solver, registry, schema

ITERATIONS, BATCH, ROWS, FEATURES, HIDDEN = 5, 4, 12, 3, 5
EXACT = {"rtol": 1e-9, "atol": 1e-12}
SINGLE = {"rtol": 2e-3, "atol": 2e-4}
LEGACY = {"SGD": 0, "Nesterov": 1, "AdaGrad": 2, "RMSProp": 3, "AdaDelta": 4, "Adam": 5}
WITHOUT_MOMENTUM = ("AdaGrad", "RMSProp")
NET = """
layer {{ name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param {{ batch_size: 4 channels: 3 height: 1 width: 1 }} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" {} {}
  inner_product_param {{ num_output: 5 weight_filler {{ type: "gaussian" std: 0.5 }} }} }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" {} {}
  inner_product_param {{ num_output: 1 weight_filler {{ type: "gaussian" std: 0.5 }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""
Array = npt.NDArray[Any]
Options = dict[str, Any]

rates = st.sampled_from([0.0, 0.5, 1.0, 2.0])
policies = st.one_of(
    st.just({"lr_policy": "fixed"}),
    st.builds(lambda n, g: {"lr_policy": "step", "stepsize": n, "gamma": g}, st.integers(1, 3), st.floats(0.2, 0.9)),
    st.builds(lambda g: {"lr_policy": "exp", "gamma": g}, st.floats(0.5, 0.99)),
    st.builds(lambda g, p: {"lr_policy": "inv", "gamma": g, "power": p}, st.floats(0.01, 1), st.floats(0.5, 2)),
    st.builds(
        lambda steps, g: {"lr_policy": "multistep", "stepvalue": sorted(steps), "gamma": g},
        st.sets(st.integers(1, ITERATIONS), min_size=1),
        st.floats(0.2, 0.9),
    ),
    st.builds(lambda p: {"lr_policy": "poly", "power": p, "max_iter": ITERATIONS}, st.floats(0.5, 2)),
    st.builds(lambda g, n: {"lr_policy": "sigmoid", "gamma": g, "stepsize": n}, st.floats(0, 2), st.integers(1, 4)),
)


@st.composite
def solvers(draw: st.DrawFn) -> Options:
    """Options of a solver in any combination."""
    kind = draw(st.sampled_from(sorted(LEGACY)))
    options: Options = {"type": kind, "base_lr": draw(st.floats(0.01, 0.2)), **draw(policies)}
    if kind not in WITHOUT_MOMENTUM:
        options["momentum"] = draw(st.sampled_from([0.0, 0.5, 0.9]))
    if kind == "Adam":
        options["momentum2"] = draw(st.sampled_from([0.9, 0.999]))
    if kind == "RMSProp":
        options["rms_decay"] = draw(st.sampled_from([0.5, 0.98]))
    options["delta"] = draw(st.sampled_from([1e-8, 1e-3]))
    options["iter_size"] = draw(st.integers(1, 3))
    options["clip_gradients"] = draw(st.sampled_from([-1.0, 0.3, 100.0]))
    options["weight_decay"] = draw(st.sampled_from([0.0, 0.05]))
    options["regularization_type"] = draw(st.sampled_from(["L1", "L2"]))
    options["multipliers"] = draw(st.lists(st.tuples(rates, rates), min_size=4, max_size=4))
    options["legacy"] = draw(st.booleans())
    return options


PLAIN = [(1.0, 1.0)] * 4
L1_CLIPPED: Options = {
    "type": "SGD",
    "base_lr": 0.1,
    "lr_policy": "fixed",
    "momentum": 0.9,
    "delta": 1e-8,
    "iter_size": 3,
    "clip_gradients": 0.3,
    "weight_decay": 0.05,
    "regularization_type": "L1",
    "multipliers": PLAIN,
    "legacy": True,
}
FROZEN = [(0.0, 1.0), (2.0, 0.0), (1.0, 1.0), (0.0, 0.0)]


@pytest.mark.slow
@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@example(L1_CLIPPED)
@example(L1_CLIPPED | {"type": "AdaDelta", "multipliers": FROZEN})
@example(L1_CLIPPED | {"type": "Adam", "momentum2": 0.999, "regularization_type": "L2", "legacy": False})
@given(solvers())
def test_updates_match_the_reference(options: Options) -> None:
    compare(options, "numpy", np.float64, EXACT)


@pytest.mark.parametrize("count", [5, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("engine", sorted(set(registry().names("engine")) - {"numpy"}))
def test_updates_of_other_engines_match_the_reference(engine: str, count: int) -> None:
    on_gpu = registry().load("engine", engine).gpu
    if on_gpu and standin.available():
        pytest.skip(f"no stand-in for a GPU: {standin.available()}")

    @settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(solvers())
    def check(options: Options) -> None:
        compare(options, engine, np.float32, SINGLE)

    with standin.installed() if on_gpu else nullcontext():
        check()


def compare(options: Options, engine: str, dtype: npt.DTypeLike, allowed: dict[str, float]) -> None:
    """Train with cafx and the reference, and compare all parameters after every iteration."""
    rng = np.random.default_rng(0)
    data, labels = rng.standard_normal((ROWS, FEATURES)), rng.standard_normal(ROWS)
    with Solver(message(options), engine=engine, seed=1, dtype=dtype) as solver:
        solver.net.layers[0].reset(data.reshape(ROWS, FEATURES, 1, 1).astype(np.float32), labels.astype(np.float32))  # type: ignore[attr-defined]
        blobs = [blob for layer in ("ip1", "ip2") for blob in solver.net.params[layer]]
        expected = Reference(options, [blob.host().astype(np.float64) for blob in blobs], data, labels)
        for iteration in range(ITERATIONS):
            solver.step(1)
            expected.step(iteration)
            for name, blob, value in zip(("W1", "b1", "W2", "b2"), blobs, expected.values, strict=True):
                np.testing.assert_allclose(blob.host(), value, err_msg=f"{name} after {iteration + 1}", **allowed)


def message(options: Options) -> Any:
    """The options as a SolverParameter."""
    specs = [f"param {{ lr_mult: {lr} decay_mult: {decay} }}" for lr, decay in options["multipliers"]]
    lines = [f"net_param {{ {NET.format(*specs)} }}", "snapshot_after_train: false"]
    for name, value in options.items():
        if name == "type" and options["legacy"]:
            lines.append(f"solver_type: {LEGACY[value]}")
        elif name not in ("multipliers", "legacy"):
            values = value if isinstance(value, list) else [value]
            lines += [f'{name}: "{v}"' if isinstance(v, str) else f"{name}: {v!r}" for v in values]
    return schema().parse_text("\n".join(lines), "SolverParameter")


class Reference:
    """Two inner products with a squared error, and Caffe's updates of their parameters."""

    def __init__(self, options: Options, values: list[Array], data: Array, labels: Array) -> None:
        self.options, self.values = options, values
        self.data = data.astype(np.float32).astype(np.float64)
        self.labels = labels.astype(np.float32).astype(np.float64)
        self.first = [np.zeros_like(value) for value in values]
        self.second = [np.zeros_like(value) for value in values]
        self.passes = 0

    def step(self, iteration: int) -> None:
        """Train one iteration."""
        gradients = [np.zeros_like(value) for value in self.values]
        for _ in range(self.options["iter_size"]):
            for total, part in zip(gradients, self.gradients(), strict=True):
                total += part
        learned = [lr != 0 for lr, _ in self.options["multipliers"]]
        gradients = [g * each for g, each in zip(gradients, learned, strict=True)]
        norm, bound = math.sqrt(sum((g**2).sum() for g in gradients)), float32(self.options["clip_gradients"])
        scale = bound / norm if 0 <= bound < norm else 1.0
        for index, gradient in enumerate(gradients):
            lr_mult, decay_mult = self.options["multipliers"][index]
            decay = float32(self.options["weight_decay"]) * decay_mult
            value = self.values[index]
            penalty = value if self.options["regularization_type"] == "L2" else np.sign(value)
            penalised = gradient * scale / self.options["iter_size"] + decay * penalty
            self.values[index] = value - self.update(index, penalised, self.rate(iteration) * lr_mult, iteration)

    def gradients(self) -> list[Array]:
        """The gradients of the next batch."""
        rows = np.arange(self.passes * BATCH, (self.passes + 1) * BATCH) % ROWS
        self.passes += 1
        x, (w1, b1, w2, b2) = self.data[rows], self.values
        hidden = x @ w1.T + b1
        error = (hidden @ w2.T + b2 - self.labels[rows, None]) / BATCH
        hidden_error = error @ w2
        return [hidden_error.T @ x, hidden_error.sum(0), error.T @ hidden, error.sum(0)]

    def rate(self, iteration: int) -> float:
        """The learning rate of an iteration."""
        o = {name: float32(v) if isinstance(v, float) else v for name, v in self.options.items()}
        base, policy, gamma, power = o["base_lr"], o["lr_policy"], o.get("gamma", 0.0), o.get("power", 0.0)
        if policy == "step":
            return float(base * gamma ** (iteration // o["stepsize"]))
        if policy == "multistep":
            return float(base * gamma ** sum(iteration >= step for step in o["stepvalue"]))
        if policy == "exp":
            return float(base * gamma**iteration)
        if policy == "inv":
            return float(base * (1 + gamma * iteration) ** -power)
        if policy == "poly":
            return float(base * (1 - iteration / o["max_iter"]) ** power)
        if policy == "sigmoid":
            return float(base / (1 + math.exp(-gamma * (iteration - o["stepsize"]))))
        return float(base)

    def update(self, index: int, g: Array, rate: float, iteration: int) -> Array:
        """The amount that the solver subtracts from a parameter."""
        kind, delta = self.options["type"], float32(self.options["delta"])
        momentum, a, b = float32(self.options.get("momentum", 0.0)), self.first[index], self.second[index]
        if kind in ("SGD", "Nesterov"):
            before = a.copy()
            a[...] = momentum * a + rate * g
            return a if kind == "SGD" else (1 + momentum) * a - momentum * before
        if kind in ("AdaGrad", "RMSProp"):
            keep = float32(self.options.get("rms_decay", 0.0))
            a[...] = a + g**2 if kind == "AdaGrad" else keep * a + (1 - keep) * g**2
            return rate * g / (np.sqrt(a) + delta)
        if kind == "AdaDelta":
            a[...] = momentum * a + (1 - momentum) * g**2
            step = g * np.sqrt((b + delta) / (a + delta))
            b[...] = momentum * b + (1 - momentum) * step**2
            return rate * step
        second, t = float32(self.options["momentum2"]), iteration + 1
        a[...] = momentum * a + (1 - momentum) * g
        b[...] = second * b + (1 - second) * g**2
        return rate * math.sqrt(1 - second**t) / (1 - momentum**t) * a / (np.sqrt(b) + delta)


def float32(value: float) -> float:
    """A value rounded to the float32 of a message."""
    return float(np.float32(value))
