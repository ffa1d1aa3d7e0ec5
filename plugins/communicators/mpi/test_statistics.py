"""BatchNorm by the statistics of all processes' batches: two ranks equal one process with both batches."""

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

MPIEXEC = Path(sys.executable).with_name("mpiexec")
COMMAND = str(MPIEXEC) if MPIEXEC.exists() else shutil.which("mpiexec")
pytestmark = pytest.mark.skipif(COMMAND is None, reason="no mpiexec: pip install mpich")

COUNT, ITERATIONS = 48, 8
DATA = """
layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "SOURCE" batch_size: BATCH } }
"""
CONVOLUTION = """
layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" convolution_param {{ num_output: {2} kernel_size: 3
  pad: 1 stride: {3} bias_term: false weight_filler {{ type: "msra" }} }} }}
layer {{ name: "{0}_bn" type: "BatchNorm" bottom: "{0}" top: "{0}" }}
layer {{ name: "{0}_scale" type: "Scale" bottom: "{0}" top: "{0}" scale_param {{ bias_term: true }} }}
"""
RELU = 'layer {{ name: "{0}_relu" type: "ReLU" bottom: "{0}" top: "{0}" }}\n'
END = """
layer {{ name: "pool" type: "Pooling" bottom: "{0}" top: "pool" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param {{ num_output: 10 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
SOLVER = """
type: "SGD" lr_policy: "fixed" base_lr: RATE momentum: 0.9 weight_decay: 0.0001 random_seed: 3 max_iter: 1000
snapshot_prefix: "none" net_param { NET }
"""
PROGRAM = """
import json, sys
import numpy as np
from cafx.kernel import Solver, schema
from cafx.kernel.training.replicas import make_communicator
ask = json.loads(sys.argv[1])
options = schema().parse_text(ask["solver"], "SolverParameter")
communicator = make_communicator(ask["communicator"])
if ask["syncs"]:
    communicator.syncs_statistics = True
with Solver(options, engine=ask["engine"], dtype=ask["dtype"], communicator=communicator) as solver:
    solver.step(ask["iterations"])
    params = solver.net.params.items()
    arrays = {f"{name} {index}": each.host() for name, layer in params for index, each in enumerate(layer)}
    np.savez(f"{ask['out']}.{communicator.rank}.npz", **arrays)
"""
PLAIN = CONVOLUTION.format("conv", "data", 6, 1) + RELU.format("conv") + END.format("conv")


def residual_net(blocks: int, widths: tuple[int, ...] = (16, 32, 64)) -> str:
    """ResNet-(6 · blocks + 2) for CIFAR-10, with 1×1 projections, of He et al., 2015."""
    text = CONVOLUTION.format("first", "data", widths[0], 1) + RELU.format("first")
    bottom = "first"
    for stage, width in enumerate(widths):
        for block in range(blocks):
            name, stride = f"s{stage}b{block}", 2 if stage and not block else 1
            shortcut = bottom
            if stride == 2:
                shortcut = f"{name}_short"
                text += CONVOLUTION.format(shortcut, bottom, width, stride)
            text += CONVOLUTION.format(f"{name}_a", bottom, width, stride) + RELU.format(f"{name}_a")
            text += CONVOLUTION.format(f"{name}_b", f"{name}_a", width, 1)
            text += (
                f'layer {{ name: "{name}" type: "Eltwise" bottom: "{shortcut}" bottom: "{name}_b" top: "{name}" }}\n'
            )
            text += RELU.format(name)
            bottom = name
    return text + END.format(bottom)


Arrays = dict[str, Any]
Train = Callable[..., list[Arrays]]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Train with ``batch`` records per rank; returns the parameters of each rank, by name."""
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "records.h5", "w") as file:
        file["data"] = rng.normal(size=(COUNT, 3, 12, 12)) * 2 + 1
        file["label"] = rng.integers(0, 10, COUNT).astype("f")
    (tmp_path / "records.txt").write_text(f"{tmp_path}/records.h5\n")

    def run(net: str, ranks: int, batch: int, iterations: int = ITERATIONS, rate: float = 0.05, **ask: Any) -> Any:
        data = DATA.replace("SOURCE", f"{tmp_path}/records.txt").replace("BATCH", str(batch))
        out = tmp_path / f"told{len(list(tmp_path.iterdir()))}"
        whole = {
            "solver": SOLVER.replace("NET", data + net).replace("RATE", str(rate)),
            "communicator": "mpi" if ranks > 1 else None,
            "iterations": iterations,
            "engine": "numpy",
            "dtype": "float64",
            "out": str(out),
            "syncs": ranks > 1,
            **ask,
        }
        launch = [str(COMMAND), "-n", str(ranks)] if ranks > 1 else []
        command = [*launch, sys.executable, "-c", PROGRAM, json.dumps(whole)]
        settings = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=540, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return [dict(np.load(f"{out}.{rank}.npz")) for rank in range(ranks)]

    return run


def difference(found: Arrays, expected: Arrays) -> float:
    """The greatest difference of a parameter, relative to its norm."""
    assert found.keys() == expected.keys()
    return max(
        float(np.linalg.norm(found[name] - expected[name]) / max(np.linalg.norm(expected[name]), 1e-3))
        for name in expected
    )


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "dtype", "allowed"), [("numpy", "float64", 1e-10), ("onednn", "float32", 1e-4)])
def test_two_ranks_equal_one_with_both_batches(train: Train, engine: str, dtype: str, allowed: float) -> None:
    settings = {"engine": engine, "dtype": dtype}
    ranks, (alone,) = train(PLAIN, 2, 4, **settings), train(PLAIN, 1, 8, **settings)
    for name in alone:
        np.testing.assert_array_equal(ranks[0][name], ranks[1][name])
    assert difference(ranks[0], alone) < allowed


@pytest.mark.slow
def test_statistics_are_of_each_rank_unless_asked(train: Train) -> None:
    apart, (alone,) = train(PLAIN, 2, 4, syncs=False), train(PLAIN, 1, 8)
    assert difference(apart[0], alone) > 1e-3
    assert not np.array_equal(apart[0]["conv_bn 0"], apart[1]["conv_bn 0"])


@pytest.mark.slow
def test_a_small_residual_net_is_the_same(train: Train) -> None:
    net = residual_net(1, (4, 8, 8))
    ranks, (alone,) = train(net, 2, 4, 4), train(net, 1, 8, 4)
    assert difference(ranks[1], alone) < 1e-9


@pytest.mark.long
def test_resnet_20_is_the_same(train: Train) -> None:
    net = residual_net(3)
    ranks, (alone,) = train(net, 2, 8, 200, 0.01), train(net, 1, 16, 200, 0.01)
    for name in alone:
        np.testing.assert_array_equal(ranks[0][name], ranks[1][name])
    assert difference(ranks[0], alone) < 1e-6
