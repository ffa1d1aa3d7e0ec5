"""A net trains in a device's place: arena, pool, history, clipping, finite check and snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.conformance.device import DeviceArray, DeviceModule
from cafx.conformance.device_engine import DeviceEngine
from cafx.conformance.strict import StrictPassError, host_reads
from cafx.kernel import CafxError, Solver, registry, schema
from cafx.kernel.net import PhiloxDraws

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 8 dim: 6 } } }
layer { name: "target" type: "Input" top: "target" input_param { shape { dim: 8 dim: 3 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "ip2" top: "sigmoid" }
layer { name: "loss" type: "EuclideanLoss" bottom: "sigmoid" bottom: "target" top: "loss" }
"""
IMAGES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 6 dim: 2 dim: 9 dim: 9 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "pool" type: "Pooling" bottom: "bn" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "draw" type: "Pooling" bottom: "pool" top: "draw"
  pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "draw" top: "ip1"
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss"
  loss_param { ignore_label: 2 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" top: "per_class"
  accuracy_param { ignore_label: 2 } }
"""
OPTIONS = """
base_lr: 0.1 lr_policy: "inv" gamma: 0.1 power: 0.5 momentum: 0.9 weight_decay: 0.01 clip_gradients: 0.3
iter_size: 2 average_loss: 3 max_iter: 100 random_seed: 3 test_iter: 2 test_interval: 1000 test_initialization: false
"""
RULES = {
    "Adam": "momentum2: 0.99",
    "SGD": "",
    "Nesterov": "",
    "AdaGrad": "momentum: 0",
    "RMSProp": "momentum: 0 rms_decay: 0.9",
    "AdaDelta": "delta: 1e-6",
}
WITHOUT_MOMENTUM = ("AdaGrad", "RMSProp")


def solver_on(engine: Any, prefix: Path, rule: str = "SGD", options: str = "", net: str = NET) -> Solver:
    text = f"{OPTIONS} type: '{rule}' {RULES[rule]} snapshot_prefix: '{prefix}' {options}"
    if rule in WITHOUT_MOMENTUM:
        text = text.replace("momentum: 0.9", "", 1)
    parsed = schema().parse_text(text, "SolverParameter")
    parsed.net_param.CopyFrom(schema().parse_text(net, "NetParameter"))
    solver = Solver(parsed, engine=engine, keep="outputs")
    rng = np.random.default_rng(0)
    for each in (solver.net, *solver.test_nets):
        for name in each.inputs:
            blob = each.blobs[name]
            blob.set_data(rng.integers(0, 3, blob.shape) if name == "label" else rng.uniform(size=blob.shape))
    return solver


class HostReads:
    """Counts what has reached the host since it was made: copies of arrays, and single values."""

    def __init__(self) -> None:
        self._before = host_reads.count

    @property
    def count(self) -> int:
        return host_reads.count - self._before


@pytest.mark.parametrize("rule", RULES)
def test_training_on_a_device_gives_what_it_gives_on_the_host(rule: str, tmp_path: Path) -> None:
    host, device = solver_on("numpy", tmp_path / "h", rule), solver_on(DeviceEngine(registry()), tmp_path / "d", rule)
    assert host.step(5) == pytest.approx(device.step(5), rel=1e-6)
    for name, blobs in host.net.params.items():
        for one, two in zip(blobs, device.net.params[name], strict=True):
            np.testing.assert_allclose(two.host(), one.host(), rtol=1e-5, atol=1e-7)
    assert host.test()["loss"] == pytest.approx(device.test()["loss"], rel=1e-6)


def test_a_net_of_images_trains_and_is_tested_as_on_the_host_with_the_device_s_draws(tmp_path: Path) -> None:
    host = solver_on("numpy", tmp_path / "h", net=IMAGES)
    for net in (host.net, *host.test_nets):
        net.context.draws = PhiloxDraws(net.context.streams, np)
    device = solver_on(DeviceEngine(registry()), tmp_path / "d", net=IMAGES)
    assert host.step(5) == pytest.approx(device.step(5), rel=1e-4)
    for name, blobs in host.net.params.items():
        for one, two in zip(blobs, device.net.params[name], strict=True):
            np.testing.assert_allclose(two.host(), one.host(), rtol=1e-3, atol=1e-5)
    expected, scores = host.test(), device.test()
    assert scores["accuracy"] == expected["accuracy"]
    np.testing.assert_allclose(scores["per_class"], expected["per_class"])


def test_an_update_that_reads_a_value_on_the_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = solver_on(DeviceEngine(registry()), tmp_path / "s")
    solver.iterate()
    monkeypatch.setattr(solver.rule, "update", lambda diff, *_: float(diff[0]))
    with pytest.raises(StrictPassError, match=r"update by solver type SGD: float\(\)"):
        solver.iterate()


def test_arena_history_and_pool_are_on_the_device(tmp_path: Path) -> None:
    solver = solver_on(DeviceEngine(registry()), tmp_path / "s")
    assert isinstance(solver.net.engine.xp, DeviceModule)
    arena = solver.net.arena
    assert all(isinstance(array, DeviceArray) for array in (arena.data, arena.diff, *solver.update.history))
    assert [place.name for place, _ in solver.net.memory.pools] == ["device"]
    assert solver.net.memory.pool > 0
    for blobs in solver.net.params.values():
        for blob in blobs:
            assert blob.synced_data.is_attached
            assert blob.synced_diff.is_attached


@pytest.mark.parametrize("net", [NET, IMAGES], ids=["vectors", "images"])
@pytest.mark.parametrize("rule", RULES)
def test_an_iteration_reads_nothing_on_the_host_that_nobody_asked_for(rule: str, net: str, tmp_path: Path) -> None:
    solver = solver_on(DeviceEngine(registry()), tmp_path / "s", rule, net=net)
    solver.iterate()
    reads = HostReads()
    for _ in range(4):
        solver.iterate()
    assert reads.count == 0
    assert np.isfinite(solver.smoothed_loss)
    assert reads.count == 3, "the last three losses, since somebody asked"


def test_a_monitor_that_names_the_loss_reads_it_once_per_iteration(tmp_path: Path) -> None:
    from cafx.kernel import hookimpl

    class Watches:
        seen: npt.ArrayLike = ()

        @hookimpl
        def iteration_finished(self, loss: float) -> None:
            self.seen = [*self.seen, loss]  # type: ignore[misc]

    class Counts:
        iterations = 0

        @hookimpl
        def iteration_finished(self, solver: Solver) -> None:
            self.iterations += 1

    solver = solver_on(DeviceEngine(registry()), tmp_path / "s")
    solver.step(1)
    counts, watches = Counts(), Watches()
    solver.monitors.add(counts)
    reads = HostReads()
    solver.step(3)
    unwatched = reads.count
    solver.monitors.add(watches)
    solver.step(3)
    assert counts.iterations == 6
    assert reads.count - 2 * unwatched == 3
    assert all(isinstance(loss, float) for loss in watches.seen)  # type: ignore[union-attr]


@pytest.mark.parametrize("net", [NET, IMAGES], ids=["vectors", "images"])
def test_a_snapshot_on_a_device_resumes_exactly(net: str, tmp_path: Path) -> None:
    first, second = (solver_on(DeviceEngine(registry()), tmp_path / name, "Adam", net=net) for name in ("a", "b"))
    first.step(3)
    _, state = first.snapshot()
    second.restore(state)
    assert first.step(3) == second.step(3)
    np.testing.assert_array_equal(
        first.net.arena.to_host(first.net.arena.data, first.net.arena.segments[0]),
        second.net.arena.to_host(second.net.arena.data, second.net.arena.segments[0]),
    )


def test_the_first_iteration_that_is_not_finite_is_reported_before_a_snapshot(tmp_path: Path) -> None:
    solver = solver_on(DeviceEngine(registry()), tmp_path / "s")
    solver.iterate()
    solver.net.blobs["target"].set_data(np.full((8, 3), np.nan))
    with np.errstate(all="ignore"):
        for _ in range(3):
            solver.iterate()
    with pytest.raises(CafxError, match="iteration 1 "):
        solver.snapshot()
    assert list(tmp_path.iterdir()) == []
