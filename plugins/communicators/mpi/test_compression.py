"""Gradients in fewer bits: all ranks get the same sums, as near as 8 significant bits allow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cafx.kernel import CafxError
from cafx_communicator_mpi import MPI, from_bf16, to_bf16

MPIEXEC = Path(sys.executable).with_name("mpiexec")
COMMAND = str(MPIEXEC) if MPIEXEC.exists() else shutil.which("mpiexec")
LARGEST = float(np.float32(3.3895314e38))
"""The greatest bfloat16."""
PROGRAM = """
import sys
import numpy as np
import cafx_communicator_mpi as module
module.MOST_COMPRESSED = int(sys.argv[3])
ranks = module.MPI()
ranks.compress_gradients("bf16")
values = np.random.default_rng(ranks.rank).normal(size=int(sys.argv[2])).astype("f")
given = values.copy()
exact, double = values.copy(), values.astype("d")
ranks.start_allreduce(values)()
ranks.allreduce(exact)
ranks.start_allreduce(double)()
np.savez(f"{sys.argv[1]}.{ranks.rank}.npz", given=given, values=values, exact=exact, double=double)
"""
TRAIN = """
import sys
import numpy as np
from cafx.kernel import Solver, schema
from cafx_communicator_mpi import MPI
ranks = MPI()
if sys.argv[2]:
    ranks.compress_gradients(sys.argv[2])
options = schema().parse_text(sys.argv[3], "SolverParameter")
with Solver(options, engine="numpy", communicator=ranks) as solver:
    losses = [solver.step(1) for _ in range(30)]
    values = np.concatenate([each.blob.host().reshape(-1) for each in solver.net.parameters])
np.savez(f"{sys.argv[1]}.{ranks.rank}.npz", values=values, losses=losses)
"""
SOLVER = """
type: "SGD" lr_policy: "fixed" base_lr: 0.1 momentum: 0.9 random_seed: 3 max_iter: 100 snapshot_prefix: "none"
net_param {
layer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: 8 dim: 6 }
  data_filler { type: "gaussian" std: 1 } } }
layer { name: "teacher" type: "InnerProduct" bottom: "data" top: "target" param { lr_mult: 0 } param { lr_mult: 0 }
  inner_product_param { num_output: 3 weight_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
}"""
numbers = st.floats(width=32, min_value=-LARGEST, max_value=LARGEST)


@given(numbers)
def test_the_nearest_is_chosen(value: float) -> None:
    given_value = np.array([value], np.float32)
    halves = to_bf16(given_value)
    found = float(from_bf16(halves)[0])
    around = from_bf16(np.array([max(int(halves[0]) - 1, 0), int(halves[0]), int(halves[0]) + 1], np.uint16))
    distances = np.abs(around[np.isfinite(around)].astype(np.float64) - float(given_value[0]))
    assert abs(found - float(given_value[0])) == distances.min()


@given(st.integers(0, 0x7F7F))
def test_halfway_goes_to_the_even_one(half: int) -> None:
    middle = np.array([half << 16 | 0x8000], np.uint32).view(np.float32)
    assert int(to_bf16(middle)[0]) == half + half % 2


def test_what_is_not_finite_stays_so() -> None:
    bits = np.array([0x7F800000, 0xFF800000, 0x7FC00000, 0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001], np.uint32)
    found = from_bf16(to_bf16(bits.view(np.float32)))
    assert found[:2].tolist() == [np.inf, -np.inf]
    assert np.isnan(found[2:]).all()


def test_another_compression_is_refused() -> None:
    with pytest.raises(CafxError, match=r"unknown compression of gradients.*fp8.*bf16"):
        MPI.compress_gradients(MPI.__new__(MPI), "fp8")


@pytest.mark.slow
@pytest.mark.skipif(COMMAND is None, reason="no mpiexec: pip install mpich")
@pytest.mark.parametrize(("size", "most"), [(1, 1 << 22), (1001, 1 << 22), (1001, 64)])
def test_all_ranks_get_the_same_sum(tmp_path: Path, size: int, most: int) -> None:
    ask = [str(tmp_path / "told"), str(size), str(most)]
    command = [str(COMMAND), "-n", "3", sys.executable, "-c", PROGRAM, *ask]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    ranks = [np.load(f"{ask[0]}.{rank}.npz") for rank in range(3)]
    total = np.zeros(size, np.float32)
    for each in ranks:
        total += from_bf16(to_bf16(each["given"]))
    whole = sum(each["given"].astype(np.float64) for each in ranks)
    for each in ranks:
        np.testing.assert_array_equal(each["values"], from_bf16(to_bf16(total)))
        np.testing.assert_allclose(each["exact"], whole, atol=1e-6)
        np.testing.assert_allclose(each["double"], whole, atol=1e-6)
    assert np.linalg.norm(ranks[0]["values"] - whole) / np.linalg.norm(whole) < 2**-7


@pytest.mark.slow
@pytest.mark.skipif(COMMAND is None, reason="no mpiexec: pip install mpich")
def test_a_net_learns_by_compressed_gradients(tmp_path: Path) -> None:
    def train(kind: str) -> list[dict[str, Any]]:
        out = str(tmp_path / f"told{kind}")
        command = [str(COMMAND), "-n", "2", sys.executable, "-c", TRAIN, out, kind, SOLVER]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return [dict(np.load(f"{out}.{rank}.npz")) for rank in range(2)]

    exact, compressed = train(""), train("bf16")
    np.testing.assert_array_equal(compressed[0]["values"], compressed[1]["values"])
    assert not np.array_equal(compressed[0]["values"], exact[0]["values"])
    np.testing.assert_allclose(compressed[0]["values"], exact[0]["values"], atol=0.02)
    assert compressed[0]["losses"][-1] < 0.05 * compressed[0]["losses"][0]
