"""A solver's state is restored completely, or refused with nothing changed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import CafxError, Solver, schema
from cafx.kernel.net import BlobValues, TrainingState
from cafx.kernel.training import plain_history
from cafx_lib_feed import samples
from cafx_lib_states import Malformed, checked

NET = """
layer {{ name: "data" type: "Data" top: "data" top: "label" data_param {{ source: "{}" backend: LMDB batch_size: 2 }} }}
layer {{ name: "drop" type: "Dropout" bottom: "data" top: "drop" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "drop" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "ip" top: "loss" }}
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 2 average_loss: 2 type: "Adam"
random_seed: 1 snapshot: 2 snapshot_prefix: "s" snapshot_format: {}
"""
GENERATOR = np.random.PCG64(1).state
WITHOUT_INC = {"a": {**GENERATOR, "state": {"state": 1}}}
WRONG = [None, -1, 2**130, 1e308, "x", [], {}, [1], {"a": 1}, True, "DELETE"]


@pytest.fixture(params=["BINARYPROTO", "HDF5"])
def solver(request: Any, tmp_path: Path, monkeypatch: Any) -> Iterator[Solver]:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET.format(samples.database("LMDB")))
    Path("solver.prototxt").write_text(SOLVER.format(request.param))
    with Solver.load("solver.prototxt", engine="numpy") as solver:
        solver.solve()
        solver.step(1)
        yield solver


def everything(solver: Solver) -> Any:
    parameters = [blob.data.tolist() for blobs in solver.net.params.values() for blob in blobs]
    history = [array.tolist() for array in plain_history(solver.update)]
    return copy.deepcopy((solver.iter, list(solver.losses), solver.net.state(), parameters, history))


def wrecked(exact: Any, rng: random.Random) -> Any:
    """A copy with one value replaced or removed."""
    exact = json.loads(json.dumps(exact))
    places, held = [], [exact]
    while held:
        each = held.pop()
        for key in list(each) if isinstance(each, dict) else range(len(each)):
            places.append((each, key))
            if isinstance(each[key], (dict, list)):
                held.append(each[key])
    holder, key = rng.choice(places)
    new = rng.choice(WRONG)
    if new == "DELETE":
        del holder[key]
    else:
        holder[key] = new
    return exact


@pytest.mark.slow
def test_a_wrong_state_changes_nothing(solver: Solver) -> None:
    path = next(Path().glob("*.solverstate*"))
    kind = schema()["SolverParameter"].SnapshotFormat.Name(solver.options.snapshot_format)
    file_format = solver.plugins.load("format", kind)(solver.plugins)
    right, rng, refused = file_format.read_state(path), random.Random(3), 0
    before = everything(solver)
    for _ in range(150):
        wrong = TrainingState(
            right.iter, right.learned_net, right.history, right.current_step, wrecked(right.exact, rng)
        )
        file_format.write_state(Path("wrong"), wrong)
        try:
            solver.restore("wrong")
        except CafxError:
            refused += 1
            assert everything(solver) == before
        else:
            solver.step(1)
            before = everything(solver)
    assert refused > 75
    solver.restore(path)
    assert solver.iter == 2


def test_weights_of_another_net_change_nothing(solver: Solver) -> None:
    path, before = next(Path().glob("*.solverstate*")), everything(solver)
    weights = next(Path().glob("*.caffemodel*"))
    text = Path("net.prototxt").read_text().replace("num_output: 3", "num_output: 4")
    Path("other.prototxt").write_text(text)
    Path("other_solver.prototxt").write_text(Path("solver.prototxt").read_text().replace("net.proto", "other.proto"))
    with Solver.load("other_solver.prototxt", engine="numpy") as other:
        other.net.save(weights)
    with pytest.raises(CafxError, match="shape mismatch"):
        solver.restore(path)
    assert everything(solver) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"iter": -5}, "its iteration is -5"),
        ({"iter": 2**31}, "its iteration"),
        ({"current_step": -1}, "its step of the learning rate"),
        ({"learned_net": "a\0b"}, "no path"),
        ({"learned_net": "a" * 5000}, "no path"),
        ({"history": [BlobValues((2,), np.zeros(2, np.int32))]}, "history 0"),
        ({"exact": []}, "its further state"),
        ({"exact": {"losses": ["1"], "nets": []}}, "losses"),
        ({"exact": {"losses": [], "nets": [{"streams": {"seed": -1, "streams": {}}, "layers": {}}]}}, "seed is -1"),
        ({"exact": {"losses": [], "nets": [{"streams": {"seed": 1, "streams": WITHOUT_INC}}]}}, "random stream 'a'"),
    ],
)
def test_what_is_wrong_is_told(change: dict[str, Any], told: str) -> None:
    fields = {"iter": 3, "learned_net": "w", "history": [], "current_step": 0, "exact": None, **change}
    with pytest.raises(Malformed, match=told):
        checked(TrainingState(**fields))


def test_a_position_of_a_generator_is_accepted() -> None:
    streams = {"seed": 5, "streams": {"a": GENERATOR}, "counters": {"b": 2**40}}
    state = TrainingState(1, "w", [], 0, {"losses": [1.5, 2], "nets": [{"streams": streams, "layers": {"data": {}}}]})
    assert checked(state) is state
