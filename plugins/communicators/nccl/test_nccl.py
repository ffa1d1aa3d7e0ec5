"""Exchange by NCCL: with a stand-in for CuPy's NCCL in two processes, and with real GPUs where there are two."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cafx.kernel import CafxError
from cafx_communicator_nccl import NCCL

MPIEXEC = Path(sys.executable).with_name("mpiexec")
COMMAND = str(MPIEXEC) if MPIEXEC.exists() else shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(COMMAND is None, reason="no mpiexec: pip install mpich")

STANDIN = '''
import ctypes, json, sys
from pathlib import Path
from contextlib import ExitStack
from types import ModuleType
import numpy as np
from mpi4py import MPI as library
from cafx.conformance.cuda import importing, installed

KINDS = {6: np.float16, 7: np.float32, 8: np.float64}
made = []

def at(address, count, kind):
    size = count * np.dtype(KINDS[kind]).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), KINDS[kind])

class NcclCommunicator:
    """CuPy's, between processes without GPUs: data go by MPI, when the call is made."""

    def __init__(self, ndev, commId, rank):
        import cupy
        assert isinstance(commId, bytes) and len(commId) == 128 and commId == library.COMM_WORLD.bcast(commId)
        self._ranks = library.COMM_WORLD.Dup()
        assert (self._ranks.Get_size(), self._ranks.Get_rank()) == (ndev, rank)
        self.device, self.streams, self.calls = cupy.cuda.Device().id, set(), []
        made.append(self)

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
        assert op == 0 and stream != 0
        self.streams.add(stream)
        self.calls.append("allReduce")
        total = self._ranks.allreduce(at(sendbuf, count, datatype).copy())
        at(recvbuf, count, datatype)[...] = total

    def broadcast(self, sendbuff, recvbuff, count, datatype, root, stream):
        self.streams.add(stream)
        self.calls.append("broadcast")
        at(recvbuff, count, datatype)[...] = self._ranks.bcast(at(sendbuff, count, datatype).copy(), root)

    def destroy(self):
        self.calls.append("destroy")

nccl = ModuleType("cupy.cuda.nccl")
nccl.__dict__.update(
    available=True, NcclError=type("NcclError", (RuntimeError,), {}), NcclCommunicator=NcclCommunicator,
    get_unique_id=lambda: bytes(range(128)), NCCL_SUM=0, NCCL_FLOAT16=6, NCCL_FLOAT32=7, NCCL_FLOAT64=8,
)

def standing_in(devices):
    stack = ExitStack()
    stack.enter_context(installed(devices=devices))
    stack.enter_context(importing({"cupy.cuda.nccl": nccl}))
    import cupy
    cupy.cuda.nccl = nccl
    return stack
'''
CALLS = """
ask = json.loads(sys.argv[1])
with standing_in(ask["devices"]):
    import cupy
    from cafx_communicator_nccl import NCCL
    ranks = NCCL()
    told = {"rank": ranks.rank, "device": ranks.device, "sums": {}}
    for kind in ("float16", "float32", "float64"):
        array = cupy.asarray(np.arange(5, dtype=kind) + ranks.rank)
        ranks.allreduce(array)
        told["sums"][kind] = array.get().tolist()
    array = cupy.asarray(np.full(3, ranks.rank, np.float32))
    waits = [ranks.start_allreduce(array[:1]), ranks.start_allreduce(array[1:])]
    for wait in waits:
        wait()
    told["parts"] = array.get().tolist()
    array = cupy.asarray(np.full(3, 7.0 + ranks.rank, np.float32))
    ranks.broadcast(array)
    told["sent"] = array.get().tolist()
    plain = np.ones(2)
    ranks.allreduce(plain)
    told["plain"] = plain.tolist()
    told["gathered"] = [each.decode() for each in ranks.gather(str(ranks.rank).encode())]
    told["streams"] = len(made[0].streams)
    told["connected"] = [each.device for each in made]
    try:
        ranks.allreduce(cupy.asarray(np.ones(2, np.int32)))
    except Exception as error:
        told["refused"] = str(error)
    ranks.close()
    told["last"] = made[0].calls[-1]
Path(f"{ask['out']}.{told['rank']}").write_text(json.dumps(told))
"""
TRAIN = """
ask = json.loads(sys.argv[1])
with standing_in(2):
    from cafx.kernel import Solver, schema
    from cafx.kernel.training.replicas import make_communicator
    options = schema().parse_text(ask["solver"], "SolverParameter")
    ranks = make_communicator(ask["communicator"])
    ranks.syncs_statistics = True
    device = ranks.device if ask["communicator"] == "nccl" else 0
    with Solver(options, engine=ask["engine"], device=device, communicator=ranks) as solver:
        solver.step(ask["iterations"])
        values = np.concatenate([each.blob.host().reshape(-1) for each in solver.net.parameters])
    told = {"rank": ranks.rank, "device": device, "values": values.tolist(), "calls": made[0].calls if made else []}
    ranks.close()
Path(f"{ask['out']}.{told['rank']}").write_text(json.dumps(told))
"""
REAL = """
import json, sys
from pathlib import Path
import cupy
from cafx_communicator_nccl import NCCL
ask = json.loads(sys.argv[1])
ranks = NCCL()
array = cupy.arange(1 << 20, dtype=cupy.float32) * (ranks.rank + 1)
ranks.start_allreduce(array)()
sent = cupy.full(5, ranks.rank + 4, cupy.float64)
ranks.broadcast(sent)
expected = cupy.arange(1 << 20, dtype=cupy.float32) * (ranks.size * (ranks.size + 1) // 2)
told = {"rank": ranks.rank, "exact": bool((array == expected).all()), "sent": sent.get().tolist()}
ranks.close()
Path(f"{ask['out']}.{told['rank']}").write_text(json.dumps(told))
"""
SOLVER = """
type: "SGD" lr_policy: "fixed" base_lr: 0.05 momentum: 0.9 random_seed: 3 max_iter: 10 snapshot_prefix: "none"
net_param {
layer { name: "d" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 2 dim: 5 dim: 5 } shape { dim: 4 } data_filler { type: "gaussian" std: 1 }
  data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 3
  weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "msra" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
}"""


def told_by_two(folder: Path, program: str, **ask: Any) -> list[dict[str, Any]]:
    """What each of two processes tells."""
    out = folder / f"told{len(list(folder.iterdir()))}"
    command = [str(COMMAND), "-n", "2", sys.executable, "-c", program, json.dumps({**ask, "out": str(out)})]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(out.with_name(f"{out.name}.{rank}").read_text()) for rank in range(2)]


@needs_mpi
@pytest.mark.slow
def test_arrays_of_gpus_go_by_nccl_and_others_by_mpi(tmp_path: Path) -> None:
    told = told_by_two(tmp_path, STANDIN + CALLS, devices=2)
    for rank, each in enumerate(told):
        assert each["device"] == rank
        assert each["connected"] == [rank]
        assert all(sums == [1.0, 3.0, 5.0, 7.0, 9.0] for sums in each["sums"].values())
        assert (each["parts"], each["sent"], each["plain"]) == ([1.0] * 3, [7.0] * 3, [2.0] * 2)
        assert (each["gathered"], each["streams"], each["last"]) == (["0", "1"], 1, "destroy")
        assert "does not sum values of this type: got int32" in each["refused"]


@needs_mpi
@pytest.mark.slow
@pytest.mark.parametrize(("communicator", "engine"), [("nccl", "cupy"), ("nccl", "cudnn"), ("mpi", "cupy")])
def test_training_on_two_gpus_equals_training_over_mpi(tmp_path: Path, communicator: str, engine: str) -> None:
    program = STANDIN + TRAIN
    ask = {"solver": SOLVER, "iterations": 5}
    gpus = told_by_two(tmp_path, program, communicator=communicator, engine=engine, **ask)
    mpi = told_by_two(tmp_path, program, communicator="mpi", engine="numpy", **ask)
    assert gpus[0]["values"] == gpus[1]["values"]
    assert gpus[0]["values"] == pytest.approx(mpi[0]["values"], rel=1e-4, abs=1e-5)
    assert ("allReduce" in gpus[0]["calls"]) == (communicator == "nccl")


@pytest.mark.slow
@needs_mpi
def test_two_processes_of_one_gpu_are_refused() -> None:
    program = STANDIN + CALLS
    command = [str(COMMAND), "-n", "2", sys.executable, "-c", program, json.dumps({"devices": 1})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "several processes use one GPU: got" in done.stderr
    assert "ranks 0, 1" in done.stderr


def test_a_missing_cupy_is_an_error_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(CafxError, match=r"NCCL needs CuPy.*nccl\S*\[cuda\].*cupy\S*\[cuda\]"):
        NCCL()


@needs_mpi
def test_a_real_pair_of_gpus(tmp_path: Path) -> None:
    cupy = pytest.importorskip("cupy", reason="no CuPy: the exchange between real GPUs is not tested here")
    count = cupy.cuda.runtime.getDeviceCount()
    if count < 2:
        pytest.skip(f"{count} GPU: the exchange between real GPUs is not tested here")
    for rank, each in enumerate(told_by_two(tmp_path, REAL)):
        assert each == {"rank": rank, "exact": True, "sent": [4.0] * 5}
