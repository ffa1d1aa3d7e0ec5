"""Training on from others' files, fine-tuning, frozen layers, numerical trouble, and bad input."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance.golden import inside
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
    """A folder with a small net and its solver, to work in."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    with inside(tmp_path):
        yield tmp_path


def solver(text: str = SOLVER, net: str = NET, **settings: Any) -> Solver:
    """The solver that text describes, for the net that text describes."""
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(text)
    return Solver.load("solver.prototxt", **{"engine": "numpy", **settings})


# Training on from what real Caffe wrote


CIFAR = (9, 3, 32, 32)
REAL = [
    ("lenet_v2", "lenet_train_test", "lenet_iter_10000.solverstate", (64, 1, 28, 28)),
    ("lenet_v1", "../lenet_v2/lenet_train_test", "lenet_iter_10000.solverstate", (64, 1, 28, 28)),
    ("cifar10_v1", "cifar10_quick_train_test", "cifar10_quick_iter_5000.solverstate", CIFAR),
    ("cifar10_v1", "cifar10_full_train_test", "cifar10_full_iter_70000.solverstate", CIFAR),
    ("cifar10_hdf5", "cifar10_quick_train_test", "cifar10_quick_iter_5000.solverstate.h5", CIFAR),
]


@pytest.mark.parametrize(("model", "net", "state", "shape"), REAL)
def test_training_goes_on_from_a_state_caffe_wrote(
    model: str, net: str, state: str, shape: tuple[int, ...], shared: Path, tmp_path: Path
) -> None:
    path = shared / "models" / model / state
    iteration = int(state.split("_")[-1].split(".")[0])
    options = schema()["SolverParameter"](
        base_lr=0.001, lr_policy="fixed", momentum=0.9, max_iter=iteration + 2, snapshot_prefix=str(tmp_path / "on")
    )
    options.net_param.CopyFrom(on_drawn_data(shared / "models" / model / f"{net}.prototxt", shape))
    with Solver(options, engine="numpy", seed=1) as on:
        begun = {name: [blob.host() for blob in blobs] for name, blobs in on.net.params.items()}
        on.restore(path)
        assert on.iter == iteration
        held = format_of(path, registry()).read_state(path).history
        for found, stored in zip(plain_history(on.update), held, strict=True):
            np.testing.assert_array_equal(found.reshape(-1), stored.data)
        for name, blobs in on.net.params.items():
            assert any((blob.host() != was).any() for blob, was in zip(blobs, begun[name], strict=True))
        assert on.solve()
        assert on.iter == iteration + 2
        assert (tmp_path / f"on_iter_{iteration + 2}.solverstate").is_file()


def on_drawn_data(path: Path, shape: tuple[int, ...]) -> Any:
    """The training net of a file with its data layer replaced by one that draws."""
    net = read_net(path, registry()).proto
    for layer in list(net.layer):
        if layer.type in ("Data", "Accuracy"):
            net.layer.remove(layer)
    drawn = net.layer.add(name="drawn", type="DummyData", top=["data", "label"])
    drawn.dummy_data_param.shape.add(dim=shape)
    drawn.dummy_data_param.shape.add(dim=shape[:1])
    drawn.dummy_data_param.data_filler.add(type="uniform", max=1)
    drawn.dummy_data_param.data_filler.add(value=3)
    net.layer.insert(0, net.layer.pop())
    return net


# Fine-tuning


def test_what_was_filled_left_and_unused_is_told(folder: Path) -> None:
    with solver() as trained:
        trained.net.save("base.caffemodel")
    with solver(net=NET.replace('"second"', '"new"')) as other:
        copied = other.net.copy_from("base.caffemodel")
    assert (copied.filled, copied.untouched, copied.unused) == (["first"], ["new"], ["second"])


def test_the_option_weights_names_files_for_all_nets(folder: Path) -> None:
    with solver() as trained:
        trained.net.save("base.caffemodel")
        wanted = trained.net.params["first"][0].host()
    text = SOLVER.replace("random_seed: 1", 'random_seed: 2 weights: "base.caffemodel" test_iter: 1 test_interval: 9')
    with solver(text, net=NET.replace('"second"', '"new"')) as other:
        for net in (other.net, *other.test_nets):
            np.testing.assert_array_equal(net.params["first"][0].host(), wanted)
        assert [each.unused for each in other.copied] == [["second"]]


def test_later_weights_win(folder: Path) -> None:
    for seed in (1, 2):
        with solver(seed=seed) as trained:
            trained.net.save(f"{seed}.caffemodel")
            wanted = trained.net.params["first"][0].host()
    with solver(SOLVER + 'weights: "1.caffemodel, 2.caffemodel"') as other:
        np.testing.assert_array_equal(other.net.params["first"][0].host(), wanted)


def test_another_shape_is_refused_with_both_shapes(folder: Path) -> None:
    with solver() as trained:
        trained.net.save("base.caffemodel")
    with solver(net=NET.replace("num_output: 3", "num_output: 4")) as other:
        with pytest.raises(CafxError, match=r"second.*") as raised:
            other.net.copy_from("base.caffemodel")
        text = str(raised.value)
        assert "3×5" in text
        assert "4×5" in text
        assert "rename" in text


def test_frozen_layers_do_no_backward_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    went_back: list[str] = []
    kind = registry().load("layer", "InnerProduct")
    plain = kind.backward

    def watched(self: Any, *arguments: Any) -> None:
        went_back.append(self.name)
        plain(self, *arguments)

    monkeypatch.setattr(kind, "backward", watched)
    with solver(net=NET.replace('top: "h"\n', f'top: "h" {FROZEN}\n')) as frozen:
        before = [blob.host() for blob in frozen.net.params["first"]]
        frozen.step(2)
        for blob, was in zip(frozen.net.params["first"], before, strict=True):
            np.testing.assert_array_equal(blob.host(), was)
            assert not blob.diff.any()
        assert not frozen.net.program.plan.layers[frozen.net.layer_names.index("relu")].needs_backward
    assert went_back == ["second"] * 2


# Numerical trouble


def test_a_loss_that_is_not_finite_stops_with_layer_and_blob(folder: Path) -> None:
    text = SOLVER.replace("base_lr: 0.1", "base_lr: 1e30").replace("max_iter: 3", "max_iter: 30 snapshot: 1")
    with solver(text) as wild, np.errstate(all="ignore"), pytest.raises(CafxError) as raised:
        wild.solve()
    assert "iteration" in str(raised.value)
    assert "layer '" in str(raised.value)
    assert "blob '" in str(raised.value)
    states = sorted(folder.glob("run_iter_*.solverstate"))
    assert states
    with solver(text) as again:
        again.restore(states[-1])
        assert all(np.isfinite(blob.host()).all() for blobs in again.net.params.values() for blob in blobs)


def test_a_parameter_that_is_not_finite_stops_before_it_is_saved(folder: Path) -> None:
    with solver(SOLVER.replace("snapshot_after_train: false", "snapshot: 1")) as broken:
        broken.step(1)
        broken.monitors.add(Breaks())
        with pytest.raises(CafxError, match=r"after the update of iteration 2.*'second\.1'.*'second'"):
            broken.step(5)
    assert [path.name for path in sorted(folder.glob("run_iter_*.solverstate"))] == [
        "run_iter_1.solverstate", "run_iter_2.solverstate"
    ]  # fmt: skip


def test_allow_nan_goes_on(folder: Path) -> None:
    with solver(allow_nan=True) as broken, np.errstate(all="ignore"):
        broken.net.params["second"][1].mutable_data[...] = np.inf
        broken.step(3)
        assert broken.iter == 3


class Breaks:
    """A monitor that makes the second solver step's history infinite: no loss tells it."""

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """At the second iteration."""
        if solver.iter == 2:
            segment = solver.net.arena.segments[-1]
            solver.update.history[0][segment.start] = np.inf


def test_debug_info_logs_what_caffe_logs(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with solver(SOLVER + "debug_info: true display: 2") as told, caplog.at_level(logging.INFO, "cafx.net"):
        told.step(2)
    lines = [record.getMessage() for record in caplog.records if record.name == "cafx.net"]
    begins = [line.split(":")[0] for line in lines]
    assert begins == [
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


# Accumulation, monitors


def test_accumulated_batches_equal_one_large_batch(folder: Path) -> None:
    rng = np.random.default_rng(1)
    data = rng.standard_normal((24, 3, 1, 1)).astype(np.float32)
    labels = rng.integers(0, 3, 24)
    source = """type: "MemoryData" top: "x" top: "label"
      memory_data_param {{ batch_size: {} channels: 3 height: 1 width: 1 }} }}"""
    found = []
    for batch, times in ((12, 1), (4, 3)):
        net = NET[: NET.index('type: "DummyData"')] + source.format(batch) + NET[NET.index('\nlayer { name: "first"') :]
        with solver(SOLVER + f"iter_size: {times} momentum: 0.9", net=net) as one:
            one.net.layers[0].reset(data, labels)  # type: ignore[attr-defined]
            one.step(6)
            found.append([blob.host() for blobs in one.net.params.values() for blob in blobs])
    for large, small in zip(*found, strict=True):
        np.testing.assert_allclose(small, large, rtol=1e-5, atol=1e-6)


class Raises:
    """A monitor that fails at the first iteration."""

    calls = 0

    @hookimpl
    def iteration_finished(self, solver: Solver, loss: float, rate: float) -> None:
        """Fail."""
        self.calls += 1
        raise RuntimeError("broken on purpose")


def test_a_monitor_that_raises_is_reported_and_dropped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    monitor = Raises()
    with solver() as going:
        going.monitors.add(monitor)
        assert going.solve()
        assert going.iter == 3
    assert monitor.calls == 1
    reports = [record.getMessage() for record in caplog.records if record.name == "cafx.monitors"]
    assert len(reports) == 1
    assert all(word in reports[0] for word in ("Raises", "iteration_finished", "broken on purpose"))


# Bad input

BAD = {
    "two_nets": (SOLVER + 'train_net: "net.prototxt"', "more than one training net"),
    "no_net": (SOLVER.replace('net: "net.prototxt"', ""), "no training net"),
    "policy": (SOLVER.replace("fixed", "sometimes"), "pip install cafx-policy-sometimes"),
    "no_policy": (SOLVER.replace('lr_policy: "fixed"', ""), "lr_policy is not set"),
    "solver": (SOLVER + 'type: "Foo"', "pip install cafx-solver-foo"),
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
    "folder": (SOLVER.replace('"run"', '"gone/run"').replace("false", "true"), "cannot be written"),
    "field": (SOLVER + "momentun: 0.9", "momentun"),
    "weights": (SOLVER + 'weights: "gone.caffemodel"', "gone.caffemodel"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_solver_is_refused_in_one_line(case: str, folder: Path) -> None:
    text, told = BAD[case]
    with pytest.raises(CafxError) as raised:
        solver(text)
    assert told in str(raised.value)
    assert "solver" in str(raised.value) or "gone" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def damaged_states(path: Path) -> Iterator[bytes]:
    """A state cut off, emptied, and overwritten."""
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        yield whole[:length]
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield bytes(range(256)) * 8


@pytest.mark.parametrize("file_format", ["BINARYPROTO", "HDF5"])
def test_a_damaged_state_is_refused_in_one_line(file_format: str, folder: Path) -> None:
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
    """An HDF5 file stores a shared parameter with its owner alone."""
    sharing = sharing.replace("BOTH", "param { name: 'w' } param { name: 'b' }")
    net = NET.replace("num_output: 5", "num_output: 3").replace('top: "h"\n', f'top: "h" {sharing}\n')
    net = net.replace('top: "score"\n', f'top: "score" {sharing}\n')
    with solver(SOLVER + f"snapshot_format: {file_format}", net=net) as one:
        one.step(1)
        _, state = one.snapshot()
        wanted = [blob.host() for blobs in one.net.params.values() for blob in blobs]
    with solver(SOLVER + f"snapshot_format: {file_format}", net=net, seed=7) as other:
        other.restore(state)
        found = [blob.host() for blobs in other.net.params.values() for blob in blobs]
    for first, second in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("missing", ["run_iter_1.caffemodel", "run_iter_1.solverstate"])
def test_a_missing_half_of_a_snapshot_is_named(missing: str, folder: Path) -> None:
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


def test_a_full_disk_costs_no_snapshot(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True)
    told, iteration = done.stdout.splitlines()
    assert "cannot be written" in told
    assert iteration == "2"
    assert sorted(path.name for path in folder.glob("*run_iter_*")) == [
        "run_iter_1.caffemodel", "run_iter_1.solverstate"
    ]  # fmt: skip
    with solver() as one:
        one.restore("run_iter_1.solverstate")
        assert one.iter == 1
