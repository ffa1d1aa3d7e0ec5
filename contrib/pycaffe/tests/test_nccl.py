"""Training in several processes as Caffe's scripts start it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import caffe
import h5py
import numpy as np
import pytest
from caffe.modes import process

from cafx.kernel import CafxError

MPIEXEC = Path(sys.executable).with_name("mpiexec")
COMMAND = str(MPIEXEC) if MPIEXEC.exists() else shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(COMMAND is None, reason="no mpiexec: pip install mpich")

NET = """
layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "records.txt" batch_size: 4 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" type: "SGD" lr_policy: "fixed" base_lr: 0.05 momentum: 0.9 weight_decay: 0.001 display: 4
clip_gradients: 2 max_iter: 8 snapshot: 4 snapshot_prefix: "snap" random_seed: 7 solver_mode: CPU
"""
TRAIN = """
import sys
from multiprocessing import Process
import caffe
import numpy as np

def work(rank, uid, options):
    caffe.set_mode_cpu()
    caffe.set_device(rank)
    caffe.set_solver_count(options["count"])
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver("solver.prototxt")
    if options["snapshot"]:
        solver.restore(options["snapshot"])
    if rank:  # what rank 0 has counts
        solver.net.params["ip"][0].data[...] = 1
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    if options["timed"] and rank == 0:
        measure(solver, nccl)
    else:
        solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    if options["fails"] and rank == 1:
        raise RuntimeError("as a script may")
    solver.step(solver.param.max_iter - solver.iter)
    arrays = {f"{name} {i}": each.data for name, layer in solver.net.params.items() for i, each in enumerate(layer)}
    np.savez(f"told.{rank}.npz", labels=solver.net.blobs["label"].data, **arrays)

def measure(solver, nccl):
    layers = range(len(solver.net.layers))
    forward, backward = [caffe.Timer() for _ in layers], [caffe.Timer() for _ in layers]
    whole, exchange = caffe.Timer(), caffe.Timer()

    def show():
        if solver.iter % solver.param.display == 0:
            caffe.log("forward %d backward %d" % tuple(sum(each.ms > 0 for each in way) for way in (forward, backward)))
            caffe.log("exchange %s" % (exchange.ms > 0))

    solver.net.before_forward(lambda layer: forward[layer].start())
    solver.net.after_forward(lambda layer: forward[layer].stop())
    solver.net.before_backward(lambda layer: backward[layer].start())
    solver.net.after_backward(lambda layer: backward[layer].stop())
    solver.add_callback(lambda: whole.start(), lambda: (whole.stop(), exchange.start()))
    solver.add_callback(nccl)
    solver.add_callback(lambda: "", lambda: (exchange.stop(), show()))

if __name__ == "__main__":
    import json
    options = json.loads(sys.argv[1])
    uid, started = caffe.NCCL.new_uid(), []
    for rank in range(options["count"]):
        process = Process(target=work, args=(rank, uid, options))
        process.daemon = True
        process.start()
        started.append(process)
    for process in started:
        process.join()
    sys.exit(max(abs(process.exitcode) for process in started))
"""
BY_MPI = """
import caffe
import numpy as np
solver = caffe.SGDSolver("solver.prototxt")
nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
nccl.bcast()
solver.add_callback(nccl)
solver.step(8)
rank = nccl.communicator.rank
arrays = {f"{name} {i}": each.data for name, layer in solver.net.params.items() for i, each in enumerate(layer)}
np.savez(f"told.{rank}.npz", labels=solver.net.blobs["label"].data, **arrays)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "records.h5", "w") as file:
        file["data"] = rng.normal(size=(40, 1, 8, 8)).astype("f")
        file["label"] = rng.integers(0, 10, 40).astype("f")
    (tmp_path / "records.txt").write_text("records.h5\n")
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "by_mpi.py").write_text(BY_MPI)
    monkeypatch.chdir(tmp_path)
    for name, value in (("solver_count", 1), ("solver_rank", 0), ("seed", None), ("engine", None)):
        monkeypatch.setattr(process, name, value)
    return tmp_path


def run(*command, **settings):
    given = {**os.environ, "OMP_NUM_THREADS": "1", "CAFX_ENGINE": "numpy", **settings}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=120, check=False)


def train(count=2, status=0, **options):
    """The log of a training, and what each rank has at the end."""
    whole = {"count": count, "snapshot": "", "timed": False, "fails": False, **options}
    done = run(sys.executable, "train.py", json.dumps(whole))
    assert done.returncode == status, done.stderr
    return done.stderr, [dict(np.load(f"told.{rank}.npz")) for rank in range(count)] if not status else []


def by_mpi():
    done = run(COMMAND, "-n", "2", sys.executable, "by_mpi.py", CAFX_COMMUNICATOR="mpi")
    assert done.returncode == 0, done.stderr
    return [dict(np.load(f"told.{rank}.npz")) for rank in range(2)]


def equal(found, expected):
    return all(np.array_equal(found[name], expected[name]) for name in expected)


@needs_mpi
@pytest.mark.slow
def test_two_processes_equal_mpiexec_bit_for_bit():
    log, ranks = train()
    expected = by_mpi()
    for found, other in zip(ranks, expected, strict=True):
        assert equal(found, other)
    assert not np.array_equal(ranks[0]["labels"], ranks[1]["labels"])
    assert log.count("Iteration 4,") == log.count("Iteration 4 ") == 1  # rank 0 alone writes the log
    assert sorted(path.name for path in Path().glob("snap*.solverstate")) == [
        "snap_iter_4.solverstate",
        "snap_iter_8.solverstate",
    ]


@pytest.mark.slow
def test_more_processes_than_two_end_with_equal_parameters():
    _, ranks = train(3)
    assert all(np.array_equal(ranks[0][name], each[name]) for each in ranks for name in each if name != "labels")


@pytest.mark.slow
def test_timers_and_layer_wise_reduce_change_nothing():
    _, plain = train()
    log, timed = train(timed=True)
    assert "forward 5 backward 5" in log
    assert "exchange True" in log
    Path("solver.prototxt").write_text(SOLVER + "layer_wise_reduce: false")
    _, whole = train()
    for found, expected in zip(timed + whole, plain + plain, strict=True):
        assert equal(found, expected)


@pytest.mark.slow
def test_a_resumed_training_is_the_same():
    _, whole = train()
    _, resumed = train(snapshot="snap_iter_4.solverstate")
    for found, expected in zip(resumed, whole, strict=True):
        assert equal(found, expected)


@pytest.mark.slow
def test_a_process_that_fails_ends_the_others():
    log, _ = train(status=1, fails=True)
    assert "RuntimeError: as a script may" in log
    assert "another process has ended" in log


def test_one_process_has_nothing_to_exchange():
    solver = caffe.SGDSolver("solver.prototxt")
    alone = caffe.SGDSolver("solver.prototxt")
    nccl = caffe.NCCL(solver, caffe.NCCL.new_uid())
    nccl.bcast()
    solver.add_callback(nccl)
    solver.net.after_backward(nccl)
    solver.step(2)
    alone.step(2)
    np.testing.assert_array_equal(solver.net.params["ip"][0].data, alone.net.params["ip"][0].data)


def test_without_nccl_gradients_are_this_process_s():
    caffe.set_solver_count(2)
    caffe.set_solver_rank(1)
    solver = caffe.SGDSolver("solver.prototxt")
    solver.net.save("start.caffemodel")
    solver.step(1)
    with h5py.File("records.h5") as file:
        np.testing.assert_array_equal(solver.net.blobs["label"].data, file["label"][1:8:2])
        order = [*range(1, 8, 2), *range(0, 8, 2)]
        data, labels = file["data"][:8][order], file["label"][:8][order]
    with h5py.File("records.h5", "w") as file:
        file["data"], file["label"] = data, labels
    caffe.set_solver_count(1)
    alone = caffe.SGDSolver("solver.prototxt")
    alone.net.copy_from("start.caffemodel")
    alone.step(1)
    np.testing.assert_array_equal(solver.net.params["ip"][0].data, alone.net.params["ip"][0].data)


def test_callbacks_of_the_net_accompany_the_solver():
    seen = []
    solver = caffe.SGDSolver("solver.prototxt")
    plain = caffe.SGDSolver("solver.prototxt")
    solver.net.before_forward(lambda layer: seen.append(layer))
    solver.net.after_backward(lambda layer: seen.append(-layer))
    solver.step(2)
    plain.step(2)
    assert seen == [0, 1, 2, 3, 4, -4, -3, -2, -1, 0] * 2
    np.testing.assert_array_equal(solver.net.params["ip"][0].data, plain.net.params["ip"][0].data)
    assert solver._solver.losses == plain._solver.losses


def test_uids_are_secrets():
    uids = {caffe.NCCL.new_uid() for _ in range(20)}
    assert {len(uid) for uid in uids} == {128}
    assert len(uids) == 20


def test_wrong_arguments_are_refused():
    solver = caffe.SGDSolver("solver.prototxt")
    with pytest.raises(TypeError, match=r"is not a uid.*NCCL.new_uid\(\)"):
        caffe.NCCL(solver, "a text")
    with pytest.raises(TypeError, match="needs two functions, or an NCCL"):
        solver.add_callback(print)
    caffe.set_solver_count(2)
    caffe.set_solver_rank(2)
    with pytest.raises(CafxError, match=r"no such solver_rank: got 2.*0 to 1.*set_solver_rank"):
        caffe.SGDSolver("solver.prototxt")
