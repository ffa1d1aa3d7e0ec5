"""Resuming from Caffe's files, fine-tuning, frozen layers, non-finite values, snapshots and invalid solvers."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance.golden import inside
from cafx.conformance.nets import assert_all_near, param_values
from cafx.kernel import CafxError, Solver, hookimpl, registry, schema
from cafx.kernel.net import format_of, read_net
from cafx.kernel.training import plain_history

NET = """
name: "small"
layer { name: "x" type: "DummyData" top: "x" top: "label"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 }
    data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "first" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "second" type: "InnerProduct" bottom: "h" top: "score"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 3 random_seed: 1
snapshot_prefix: "run" snapshot_after_train: false
"""
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The working directory, with a small net and its solver."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    with inside(tmp_path):
        yield tmp_path


def solver(text: str = SOLVER, net: str = NET, **settings: Any) -> Solver:
    """A solver for the given prototxt of solver and net."""
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(text)
    return Solver.load("solver.prototxt", **{"engine": "numpy", **settings})


CIFAR = (9, 3, 32, 32)
CAFFE_STATES = [
    ("lenet_v2", "lenet_train_test", "lenet_iter_10000.solverstate", (64, 1, 28, 28)),
    ("lenet_v1", "../lenet_v2/lenet_train_test", "lenet_iter_10000.solverstate", (64, 1, 28, 28)),
    ("cifar10_v1", "cifar10_quick_train_test", "cifar10_quick_iter_5000.solverstate", CIFAR),
    ("cifar10_v1", "cifar10_full_train_test", "cifar10_full_iter_70000.solverstate", CIFAR),
    ("cifar10_hdf5", "cifar10_quick_train_test", "cifar10_quick_iter_5000.solverstate.h5", CIFAR),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "net", "state", "shape"), CAFFE_STATES)
def test_training_resumes_from_caffe_s_solverstate(
    model: str, net: str, state: str, shape: tuple[int, ...], shared: Path, tmp_path: Path
) -> None:
    path = shared / "models" / model / state
    iteration = int(state.split("_")[-1].split(".")[0])
    options = schema()["SolverParameter"](
        base_lr=0.001, lr_policy="fixed", momentum=0.9, max_iter=iteration + 2, snapshot_prefix=str(tmp_path / "on")
    )
    options.net_param.CopyFrom(on_random_data(shared / "models" / model / f"{net}.prototxt", shape))
    with Solver(options, engine="numpy", seed=1) as resumed:
        initial = param_values(resumed.net)
        resumed.restore(path)
        assert resumed.iter == iteration
        history = format_of(path, registry()).read_state(path).history
        for values, stored in zip(plain_history(resumed.update), history, strict=True):
            np.testing.assert_array_equal(values.reshape(-1), stored.data)
        restored = param_values(resumed.net)
        assert all((values != initial[name]).any() for name, values in restored.items())
        assert resumed.solve()
        assert resumed.iter == iteration + 2
        assert (tmp_path / f"on_iter_{iteration + 2}.solverstate").is_file()


def on_random_data(path: Path, shape: tuple[int, ...]) -> Any:
    """The training net of a file on random data."""
    net = read_net(path, registry()).proto
    for layer in list(net.layer):
        if layer.type in ("Data", "Accuracy"):
            net.layer.remove(layer)
    data = net.layer.add(name="random", type="DummyData", top=["data", "label"])
    data.dummy_data_param.shape.add(dim=shape)
    data.dummy_data_param.shape.add(dim=shape[:1])
    data.dummy_data_param.data_filler.add(type="uniform", max=1)
    data.dummy_data_param.data_filler.add(value=3)
    net.layer.insert(0, net.layer.pop())
    return net


def test_copy_from_reports_copied_untouched_and_unused_layers(folder: Path) -> None:
    with solver() as trained:
        trained.net.save("base.caffemodel")
    with solver(net=NET.replace('"second"', '"new"')) as other:
        copied = other.net.copy_from("base.caffemodel")
    assert (copied.filled, copied.untouched, copied.unused) == (["first"], ["new"], ["second"])


def test_the_weights_option_applies_to_all_nets(folder: Path) -> None:
    with solver() as trained:
        trained.net.save("base.caffemodel")
        expected = trained.net.params["first"][0].host()
    text = SOLVER.replace("random_seed: 1", 'random_seed: 2 weights: "base.caffemodel" test_iter: 1 test_interval: 9')
    with solver(text, net=NET.replace('"second"', '"new"')) as other:
        for net in (other.net, *other.test_nets):
            np.testing.assert_array_equal(net.params["first"][0].host(), expected)
        assert [each.unused for each in other.copied] == [["second"]]


def test_later_weights_override_earlier_ones(folder: Path) -> None:
    for seed in (1, 2):
        with solver(seed=seed) as trained:
            trained.net.save(f"{seed}.caffemodel")
            expected = trained.net.params["first"][0].host()
    with solver(SOLVER + 'weights: "1.caffemodel, 2.caffemodel"') as other:
        np.testing.assert_array_equal(other.net.params["first"][0].host(), expected)


def test_the_error_for_mismatched_weights_names_both_shapes(folder: Path) -> None:
    with solver() as trained:
        trained.net.save("base.caffemodel")
    with solver(net=NET.replace("num_output: 3", "num_output: 4")) as other:
        with pytest.raises(CafxError, match=r"second.*") as raised:
            other.net.copy_from("base.caffemodel")
        text = str(raised.value)
        assert "3×5" in text
        assert "4×5" in text
        assert "rename" in text


def test_frozen_layers_run_no_backward_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backward_layers: list[str] = []
    kind = registry().load("layer", "InnerProduct")
    original = kind.backward

    def recorded(self: Any, *arguments: Any) -> None:
        backward_layers.append(self.name)
        original(self, *arguments)

    monkeypatch.setattr(kind, "backward", recorded)
    with solver(net=NET.replace('top: "h"\n', f'top: "h" {FROZEN}\n')) as frozen:
        before = [blob.host() for blob in frozen.net.params["first"]]
        frozen.step(2)
        for blob, values in zip(frozen.net.params["first"], before, strict=True):
            np.testing.assert_array_equal(blob.host(), values)
            assert not blob.diff.any()
        assert not frozen.net.program.plan.layers[frozen.net.layer_names.index("relu")].needs_backward
    assert backward_layers == ["second"] * 2


def test_a_non_finite_loss_stops_training_and_names_the_first_blob(folder: Path) -> None:
    text = SOLVER.replace("base_lr: 0.1", "base_lr: 1e30").replace("max_iter: 3", "max_iter: 30 snapshot: 1")
    with solver(text) as diverging, np.errstate(all="ignore"), pytest.raises(CafxError) as raised:
        diverging.solve()
    assert re.search(r"iteration \d.*first non-finite blob: '\w+' of layer '\w+'", str(raised.value))
    states = sorted(folder.glob("run_iter_*.solverstate"))
    assert states
    with solver(text) as again:
        again.restore(states[-1])
        assert all(np.isfinite(blob.host()).all() for blobs in again.net.params.values() for blob in blobs)


def test_a_non_finite_parameter_stops_training_before_the_next_snapshot(folder: Path) -> None:
    with solver(SOLVER.replace("snapshot_after_train: false", "snapshot: 1")) as broken:
        broken.step(1)
        broken.monitors.add(BreaksHistory())
        with pytest.raises(CafxError, match=r"after the update of iteration 2.*'second\.1'.*'second'"):
            broken.step(5)
    states = [path.stem for path in sorted(folder.glob("run_iter_*.solverstate"))]
    assert states == ["run_iter_1", "run_iter_2"]


def test_allow_nan_continues_training(folder: Path) -> None:
    with solver(allow_nan=True) as broken, np.errstate(all="ignore"):
        broken.net.params["second"][1].mutable_data[...] = np.inf
        broken.step(3)
        assert broken.iter == 3


class BreaksHistory:
    """A monitor that makes the history infinite in iteration 2, which does not show in its loss."""

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Break the history."""
        if solver.iter == 2:
            segment = solver.net.arena.segments[-1]
            solver.update.history[0][segment.start] = np.inf


def test_debug_info_logs_the_lines_of_caffe(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with solver(SOLVER + "debug_info: true display: 2") as debugged, caplog.at_level(logging.INFO, "cafx.net"):
        debugged.step(2)
    lines = [record.getMessage() for record in caplog.records if record.name == "cafx.net"]
    prefixes = [line.split(":")[0] for line in lines]
    assert prefixes == [
        "    [Forward] Layer x, top blob x data",
        "    [Forward] Layer x, top blob label data",
        "    [Forward] Layer first, top blob h data",
        "    [Forward] Layer first, param blob 0 data",
        "    [Forward] Layer first, param blob 1 data",
        "    [Forward] Layer relu, top blob h data",
        "    [Forward] Layer second, top blob score data",
        "    [Forward] Layer second, param blob 0 data",
        "    [Forward] Layer second, param blob 1 data",
        "    [Forward] Layer loss, top blob loss data",
        "    [Backward] Layer loss, bottom blob score diff",
        "    [Backward] Layer second, bottom blob h diff",
        "    [Backward] Layer second, param blob 0 diff",
        "    [Backward] Layer second, param blob 1 diff",
        "    [Backward] Layer relu, bottom blob h diff",
        "    [Backward] Layer first, param blob 0 diff",
        "    [Backward] Layer first, param blob 1 diff",
        "    [Backward] All net params (data, diff)",
        "    [Update] Layer first, param 0 data",
        "    [Update] Layer first, param 1 data",
        "    [Update] Layer second, param 0 data",
        "    [Update] Layer second, param 1 data",
    ]


def test_accumulated_batches_equal_one_large_batch(folder: Path) -> None:
    rng = np.random.default_rng(1)
    data = rng.standard_normal((24, 3, 1, 1)).astype(np.float32)
    labels = rng.integers(0, 3, 24)
    source = """type: "MemoryData" top: "x" top: "label"
      memory_data_param {{ batch_size: {} channels: 3 height: 1 width: 1 }} }}"""
    results = []
    for batch, times in ((12, 1), (4, 3)):
        net = NET[: NET.index('type: "DummyData"')] + source.format(batch) + NET[NET.index('\nlayer { name: "first"') :]
        with solver(SOLVER + f"iter_size: {times} momentum: 0.9", net=net) as one:
            one.net.layers[0].reset(data, labels)  # type: ignore[attr-defined]
            one.step(6)
            results.append(param_values(one.net))
    large, small = results
    for name, values in large.items():
        np.testing.assert_allclose(small[name], values, rtol=1e-5, atol=1e-6)


class Raises:
    """A monitor that fails at the first iteration."""

    calls = 0

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Fail."""
        self.calls += 1
        raise RuntimeError("broken on purpose")


def test_a_monitor_that_raises_is_reported_and_disabled(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    monitor = Raises()
    with solver() as monitored:
        monitored.monitors.add(monitor)
        assert monitored.solve()
        assert monitored.iter == 3
    assert monitor.calls == 1
    reports = [record.getMessage() for record in caplog.records if record.name == "cafx.monitors"]
    assert len(reports) == 1
    assert all(word in reports[0] for word in ("Raises", "iteration_finished", "broken on purpose"))


INVALID = {
    "two_nets": (SOLVER + 'train_net: "net.prototxt"', "more than one training net"),
    "no_net": (SOLVER.replace('net: "net.prototxt"', ""), "no training net"),
    "policy": (SOLVER.replace("fixed", "sometimes"), "cafx-policy-sometimes"),
    "no_policy": (SOLVER.replace('lr_policy: "fixed"', ""), "lr_policy is not set"),
    "solver": (SOLVER + 'type: "Foo"', "cafx-solver-foo"),
    "test_iter": (SOLVER.replace("net: ", "train_net: ") + "test_iter: 1 test_interval: 1", "test_iter"),
    "no_interval": (SOLVER + "test_iter: 1", "test_interval"),
    "test_state": (SOLVER + "test_iter: 1 test_interval: 1 test_state { } test_state { }", "test_state"),
    "type_twice": (SOLVER + 'type: "SGD" solver_type: ADAM', "solver_type"),
    "momentum": (SOLVER + 'type: "AdaGrad" momentum: 0.9', "momentum"),
    "regularisation": (SOLVER + 'regularization_type: "L3"', "L1 or L2"),
    "average_loss": (SOLVER + "average_loss: 0", "average_loss"),
    "iter_size": (SOLVER + "iter_size: 0", "iter_size"),
    "display": (SOLVER + "display: -1", "display"),
    "snapshot": (SOLVER + "snapshot: -1", "snapshot"),
    "stepsize": (SOLVER.replace("fixed", "step") + "gamma: 0.1", "stepsize"),
    "folder": (SOLVER.replace('"run"', '"/dev/null/run"') + "snapshot: 1", "cannot be"),
    "field": (SOLVER + "momentun: 0.9", "momentun"),
    "weights": (SOLVER + 'weights: "gone.caffemodel"', "gone.caffemodel"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_solver_raises_a_one_line_error(case: str, folder: Path) -> None:
    text, phrase = INVALID[case]
    with pytest.raises(CafxError) as raised:
        solver(text)
    assert phrase in str(raised.value)
    assert "solver" in str(raised.value) or "gone" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def damaged_states(path: Path) -> Iterator[bytes]:
    """The bytes of a solverstate, truncated and overwritten."""
    content = path.read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 1):
        yield content[:length]
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield bytes(range(256)) * 8


@pytest.mark.parametrize("file_format", ["BINARYPROTO", "HDF5"])
def test_a_damaged_solverstate_raises_a_one_line_error(file_format: str, folder: Path) -> None:
    with solver(SOLVER + f"momentum: 0.9 snapshot_format: {file_format}") as one:
        one.step(1)
        _, state = one.snapshot()
        for content in damaged_states(state):
            state.write_bytes(content)
            with pytest.raises(CafxError) as raised:
                one.restore(state)
            assert state.name in str(raised.value)
            assert len(str(raised.value).splitlines()) == 1
        assert one.iter == 1
        one.step(1)


@pytest.mark.parametrize("sharing", ['param { name: "w" }', "param { } param { name: 'b' }", "BOTH"])
@pytest.mark.parametrize("file_format", ["BINARYPROTO", "HDF5"])
def test_shared_parameters_are_restored(file_format: str, sharing: str, folder: Path) -> None:
    """HDF5 files store a shared parameter with its owner only."""
    sharing = sharing.replace("BOTH", "param { name: 'w' } param { name: 'b' }")
    net = NET.replace("num_output: 5", "num_output: 3").replace('top: "h"\n', f'top: "h" {sharing}\n')
    net = net.replace('top: "score"\n', f'top: "score" {sharing}\n')
    with solver(SOLVER + f"snapshot_format: {file_format}", net=net) as one:
        one.step(1)
        _, state = one.snapshot()
        expected = param_values(one.net)
    with solver(SOLVER + f"snapshot_format: {file_format}", net=net, seed=7) as other:
        other.restore(state)
        assert_all_near(param_values(other.net), expected, 0)


@pytest.mark.parametrize("missing", ["run_iter_1.caffemodel", "run_iter_1.solverstate"])
def test_the_error_for_an_incomplete_snapshot_names_the_missing_file(missing: str, folder: Path) -> None:
    with solver() as one:
        one.step(1)
        _, state = one.snapshot()
        (folder / missing).unlink()
        with pytest.raises(CafxError, match=missing):
            one.restore(state)


FULL = """
import resource, sys
from cafx.kernel import CafxError, Solver
solver = Solver.load("solver.prototxt", engine="numpy")
solver.step(1)
solver.snapshot()
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
solver.step(1)
try:
    solver.snapshot()
except CafxError as error:
    print(error)
print(solver.iter)
"""


@pytest.mark.slow
def test_a_full_disk_damages_no_snapshot(folder: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True)
    error, iteration = run.stdout.splitlines()
    assert "cannot be written" in error
    assert iteration == "2"
    files = sorted(path.name for path in folder.glob("*run_iter_*"))
    assert files == ["run_iter_1.caffemodel", "run_iter_1.solverstate"]
    with solver() as one:
        one.restore("run_iter_1.solverstate")
        assert one.iter == 1
