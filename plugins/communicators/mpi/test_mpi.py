"""Training in two processes equals training in one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cafx.conformance import plugin_suite

TestMPI = pytest.mark.slow(plugin_suite("communicator", "mpi"))

MPIEXEC = Path(sys.executable).with_name("mpiexec")
COMMAND = str(MPIEXEC) if MPIEXEC.exists() else shutil.which("mpiexec")
pytestmark = pytest.mark.skipif(COMMAND is None, reason="no mpiexec: pip install mpich")

BATCH, ROUNDS = 8, 5
ROUNDING_OF_200 = 1e-9
"""Relative difference of the parameters after 200 iterations in float64."""
NET = """
layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "SOURCE" batch_size: 8 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
  inner_product_param { num_output: 64 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
MORE
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
LENET = """
layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "SOURCE" batch_size: 64 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 50 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
LENET_BATCH = 64
SOLVER = """
type: "SGD" lr_policy: "inv" gamma: 0.0001 power: 0.75 base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
snapshot_prefix: "PREFIX" max_iter: 1000 random_seed: 3 OPTIONS
net_param { NET }
"""
PROGRAM = """
import hashlib, json, os, sys
import numpy as np
from cafx.kernel import Solver, schema
ask = json.loads(sys.argv[1])
options = schema().parse_text(ask["solver"], "SolverParameter")
settings = {"engine": ask["engine"], "dtype": ask.get("dtype", "float32")}
settings |= {"communicator": ask["communicator"], "split_batch": ask.get("split", False)}
with Solver(options, **settings) as solver:
    if "resume" in ask:
        solver.restore(ask["resume"])
    if "disagree" in ask and solver.replicas.communicator.rank:
        raise RuntimeError
    solver.step(ask["iterations"])
    paths = solver.snapshot() if ask.get("snapshot") else ()
    values = [each.blob.host().reshape(-1) for each in solver.net.parameters]
    told = {
        "rank": solver.replicas.communicator.rank,
        "sum": hashlib.sha256(np.concatenate(values).tobytes()).hexdigest(),
        "norm": float(np.linalg.norm(np.concatenate(values).astype(np.float64))),
        "labels": solver.net.blobs["label"].host().tolist(),
        "state": str(paths[1]) if paths else "",
    }
    np.save(f"{ask['out']}.{told['rank']}.npy", np.concatenate(values))
    with open(f"{ask['out']}.{told['rank']}", "w") as file:
        json.dump(told, file)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small records for `NET`."""
    return records(tmp_path_factory.mktemp("records"), BATCH, 12)


def records(folder: Path, batch: int, side: int) -> Path:
    """Records, in the order in which they are dealt, and in that in which one process reads the same batches."""
    rng = np.random.default_rng(0)
    count = 2 * batch * ROUNDS
    images, labels = rng.normal(size=(count, 1, side, side)).astype("f"), rng.integers(0, 10, count).astype("f")
    turns = np.arange(count).reshape(ROUNDS, batch, 2).transpose(0, 2, 1).reshape(-1)
    for name, order in (("dealt", np.arange(count)), ("alone", turns)):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["data"], file["label"] = images[order], labels[order]
        (folder / f"{name}.txt").write_text(f"{folder / name}.h5\n")
    return folder


@pytest.fixture
def train(data: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Train, in several processes or one; returns what each rank tells."""

    def run(
        ranks: int, iterations: int, options: str = "", more: str = "", net: str = NET, folder: Path = data, **ask: Any
    ) -> list[dict[str, Any]]:
        net = net.replace("SOURCE", str(folder / ("dealt.txt" if ranks > 1 or ask.get("dealt") else "alone.txt")))
        solver = SOLVER.replace("NET", net.replace("MORE", more)).replace("OPTIONS", options)
        out = tmp_path / f"told{len(list(tmp_path.iterdir()))}"
        whole = {
            "solver": solver.replace("PREFIX", str(tmp_path / "snapshot")),
            "engine": "numpy",
            "communicator": "mpi" if ranks > 1 else None,
            "iterations": iterations,
            "out": str(out),
            **ask,
        }
        command = [sys.executable, "-c", PROGRAM, json.dumps(whole)]
        launch = [str(COMMAND), "-n", str(ranks)] if ranks > 1 else []
        settings = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(launch + command, env=settings, capture_output=True, text=True, timeout=540, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        told = [json.loads(out.with_name(f"{out.name}.{rank}").read_text()) for rank in range(ranks)]
        return [{**each, "values": np.load(f"{out}.{each['rank']}.npy")} for each in told]

    return run


Train = Callable[..., list[dict[str, Any]]]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numpy", "onednn"])
@pytest.mark.parametrize("reduce", ["true", "false"])
def test_two_processes_equal_one_with_twice_the_batches_bit_for_bit(train: Train, engine: str, reduce: str) -> None:
    ranks = train(2, 12, f"layer_wise_reduce: {reduce}", engine=engine)
    (alone,) = train(1, 12, "iter_size: 2", engine=engine)
    assert {each["sum"] for each in ranks} == {alone["sum"]}


@pytest.mark.long
@pytest.mark.parametrize("engine", ["numpy", "onednn"])
def test_lenet_in_two_processes_for_200_iterations(train: Train, tmp_path: Path, engine: str) -> None:
    lenet = {"net": LENET, "folder": records(tmp_path, LENET_BATCH, 28), "engine": engine}
    ranks = train(2, 200, **lenet)
    (alone,) = train(1, 200, "iter_size: 2", **lenet)
    assert {each["sum"] for each in ranks} == {alone["sum"]}


@pytest.mark.long
def test_lenet_in_two_processes_equals_twice_the_batch_to_rounding(train: Train, tmp_path: Path) -> None:
    lenet = {"net": LENET, "folder": records(tmp_path, LENET_BATCH, 28), "dtype": "float64"}
    ranks = train(2, 200, **lenet)
    doubled = LENET.replace("batch_size: 64", "batch_size: 128")
    (whole,) = train(1, 200, **{**lenet, "net": doubled}, dealt=True)
    difference = np.linalg.norm(ranks[0]["values"] - whole["values"]) / np.linalg.norm(whole["values"])
    assert difference < ROUNDING_OF_200


@pytest.mark.slow
def test_records_are_dealt_one_by_one(train: Train, data: Path) -> None:
    ranks = train(2, 2)
    with h5py.File(data / "dealt.h5") as file:
        labels = file["label"][:]
    second = labels[2 * BATCH : 4 * BATCH]
    assert [each["labels"] for each in ranks] == [second[0::2].tolist(), second[1::2].tolist()]


@pytest.mark.slow
def test_a_split_batch_is_that_of_one_process_to_rounding(train: Train) -> None:
    clipped = "clip_gradients: 1"
    ranks, (alone,) = train(2, 10, clipped, split=True), train(1, 10, clipped, dealt=True)
    assert ranks[0]["sum"] == ranks[1]["sum"]
    assert ranks[0]["norm"] == pytest.approx(alone["norm"], rel=1e-5)
    assert sorted(ranks[0]["labels"] + ranks[1]["labels"]) == sorted(alone["labels"])


@pytest.mark.slow
def test_a_resumed_training_is_the_same_bit_for_bit(train: Train) -> None:
    dropout = 'layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }'
    whole, begun = train(2, 9, more=dropout), train(2, 4, more=dropout, snapshot=True)
    resumed = train(2, 5, more=dropout, resume=begun[0]["state"])
    assert [each["sum"] for each in resumed] == [each["sum"] for each in whole]
    assert [each["labels"] for each in resumed] == [each["labels"] for each in whole]


@pytest.mark.slow
@pytest.mark.parametrize("later", [1, 3])
def test_another_number_of_processes_begins_the_next_epoch(train: Train, data: Path, later: int) -> None:
    begun = train(2, 2, snapshot=True)
    resumed = train(later, 1, resume=begun[0]["state"], dealt=True)
    with h5py.File(data / "dealt.h5") as file:
        labels = file["label"][:]
    start = -(-len(labels) // (BATCH * later)) * BATCH * later % len(labels)
    expected = np.roll(labels, -start)[: BATCH * later]
    assert [each["labels"] for each in resumed] == [expected[rank::later].tolist() for rank in range(later)]
