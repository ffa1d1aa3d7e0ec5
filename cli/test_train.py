"""``cafx train``: what it prints and writes, signals, and what it refuses."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cafx.cli.sources import change
from cafx.kernel import registry, schema
from cafx.kernel.net import read_weights

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

PATIENCE = 60
FOREVER = ("--set", "max_iter=1000000000", "--set", "display=0")
NET_PY = """
import os
from cafx.dsl import NetSpec, SolverSpec, layers as L
n = NetSpec("Py")
n.data, n.target = L.Input(shape=[dict(dim=[4, 3]), dict(dim=[4, 2])], ntop=2)
n.ip = L.InnerProduct(n.data, num_output=2, bias_filler=dict(type="constant", value=1))
n.loss = L.EuclideanLoss(n.ip, n.target)
solver = SolverSpec(net=n, base_lr=0.01, lr_policy="fixed", max_iter=5,
                    snapshot_prefix=os.environ.get("CAFX_DATA", "py"))
"""


def test_training_says_how_it_went_and_what_is_next(cafx: Run, folder: Path) -> None:
    done = cafx("train", "--solver", "solver.prototxt")
    assert "Trained 40 iterations" in done.stdout
    assert "Model: tiny_iter_40.caffemodel" in done.stdout
    assert "cafx test solver.prototxt --weights tiny_iter_40.caffemodel --iterations 2" in done.stdout
    assert (folder / "tiny_iter_40.solverstate").is_file()


@pytest.mark.parametrize(
    ("iterations", "told"),
    [
        (25, r"Trained 25 iterations in .* s: loss [\d.e-]+, test loss [\d.e-]+ \(at iteration 20\)"),
        (1, r"Trained 1 iteration in .* s: loss [\d.e-]+, test loss [\d.e-]+ \(at iteration 0\)"),
        (0, r"Trained 0 iterations in .* s: test loss [\d.e-]+"),
    ],
)
def test_older_scores_are_told_with_their_iteration(cafx: Run, iterations: int, told: str) -> None:
    changes = ("--set", f"max_iter={iterations}", "--set", "display=0")  # display shows one more loss at the end
    done = cafx("train", "--solver", "solver.prototxt", *changes)
    assert re.fullmatch(told, done.stdout.splitlines()[0])


def test_json_is_one_object_on_standard_output(cafx: Run) -> None:
    told = json.loads(cafx("train", "--solver", "solver.prototxt", "--json").stdout)
    assert told["finished"] is True
    assert told["iterations"] == 40
    assert told["loss"] < 0.01
    assert told["weights"] == "tiny_iter_40.caffemodel"


def test_quiet_training_writes_nothing_to_standard_error(cafx: Run) -> None:
    assert cafx("train", "--solver", "solver.prototxt", "--quiet").stderr == ""


def test_set_changes_solver_options(cafx: Run, folder: Path) -> None:
    cafx(
        "train", "--solver", "solver.prototxt", "-q", "--set", "max_iter=7", "--set", "snapshot_prefix=other",
        "--set", "test_iter=1",
    )  # fmt: skip
    assert (folder / "other_iter_7.caffemodel").is_file()


def test_set_reaches_into_messages_and_empties_lists() -> None:
    options = schema().parse_text(
        'test_iter: 3 train_state { level: 1 stage: "a" } snapshot_prefix: "b"', "SolverParameter"
    )
    made = change(options, ["test_iter=", "train_state.level=3", "snapshot_prefix="])
    assert not made.test_iter
    assert (made.train_state.level, list(made.train_state.stage), made.snapshot_prefix) == (3, ["a"], "")
    assert list(change(options, ["train_state.stage=b,c"]).train_state.stage) == ["b", "c"]


@pytest.mark.parametrize("prefix", ['it"s', "a\\new", "b c"])
def test_set_takes_text_as_it_is(prefix: str) -> None:
    made = change(schema()["SolverParameter"](), [f"snapshot_prefix={prefix}"])
    assert made.snapshot_prefix == prefix


def test_set_takes_text_in_quotes_without_them() -> None:
    assert change(schema()["SolverParameter"](), ['snapshot_prefix="a b"']).snapshot_prefix == "a b"


def test_of_many_values_the_first_are_told(cafx: Run, folder: Path) -> None:
    net = (folder / "net.prototxt").read_text()
    copy = (
        'layer { name: "copy" type: "Tile" bottom: "ip2" top: "copy" tile_param { tiles: 3 } include { phase: TEST } }'
    )
    (folder / "net.prototxt").write_text(net + copy)
    done = cafx("train", "--solver", "solver.prototxt", "--set", "max_iter=0")
    for told in (done.stdout.splitlines()[0], done.stderr):
        assert re.search(r"copy \[([\d.e-]+, ){10}… 24 values\]", told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("base_lrr=1", "did you mean 'base_lr'"),
        ("base_lr", "FIELD=VALUE"),
        ("base_lr=", "'base_lr' is given no value"),
        ("stepvalue=1,", "'stepvalue' is given no value between two commas"),
        ("train_state.levle=1", "NetState has no field 'levle'; did you mean 'level'?"),
        ("test_state.level=1", "'test_state' has no single field 'level'"),
        ("base_lr=fast", "--set: the value of 'base_lr' cannot be read"),
        ("type=Foo", "pip install cafx-solver-foo"),
        ("lr_policy=foo", "pip install cafx-policy-foo"),
        ("test_interval=0", "test_interval"),
        ("snapshot_prefix=missing/folder/x", "cannot be written"),
        ("average_loss=0", "average_loss"),
    ],
)
def test_senseless_options_are_refused(cafx: Run, folder: Path, change: str, told: str) -> None:
    before = sorted(folder.iterdir())
    done = cafx("train", "--solver", "solver.prototxt", "--set", change, code=1)
    assert told in done.stderr.splitlines()[-1]
    assert sorted(folder.iterdir()) == before


def test_a_resumed_run_equals_an_uninterrupted_one(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q")
    whole = read_weights(folder / "tiny_iter_40.caffemodel", registry())
    cafx("train", "--solver", "solver.prototxt", "-q", "--set", "max_iter=17")
    told = cafx("train", "--solver", "solver.prototxt", "-q", "--snapshot", "tiny_iter_17.solverstate").stdout
    assert told.startswith("Trained on from iteration 17 to 40 in ")
    again = read_weights(folder / "tiny_iter_40.caffemodel", registry())
    for one, other in zip(whole, again, strict=True):
        for a, b in zip(one.blobs, other.blobs, strict=True):
            np.testing.assert_array_equal(a.data, b.data)


def test_fine_tuning_says_what_was_taken(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q")
    net = (folder / "net.prototxt").read_text()
    (folder / "net.prototxt").write_text(net.replace('"ip2"', '"other"'))
    done = cafx("train", "--solver", "solver.prototxt", "--weights", "tiny_iter_40.caffemodel")
    assert "1 layers taken; not in this net: ip2" in done.stderr
    assert "start anew: other" in done.stderr


def test_weights_that_do_not_fit_are_refused(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q")
    net = (folder / "net.prototxt").read_text()
    (folder / "net.prototxt").write_text(net.replace("num_output: 5", "num_output: 6"))
    done = cafx("train", "--solver", "solver.prototxt", "-w", "tiny_iter_40.caffemodel", code=1)
    assert "layer 'ip1'" in done.stderr
    assert "5×3" in done.stderr
    assert "6×3" in done.stderr


def test_a_finished_run_resumed_has_nothing_left_to_train(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q")
    before = (folder / "tiny_iter_40.caffemodel").read_bytes()
    changes = ("--set", "max_iter=30", "--snapshot", "tiny_iter_40.solverstate")
    told = cafx("train", "--solver", "solver.prototxt", "-q", *changes).stdout
    assert told.startswith("Nothing left to train (40 iterations done, max_iter 30)")
    assert (folder / "tiny_iter_40.caffemodel").read_bytes() == before


def test_weights_and_snapshot_exclude_each_other(cafx: Run) -> None:
    cafx("train", "--solver", "solver.prototxt", "-w", "a", "--snapshot", "b", code=2)


def test_a_loss_that_is_not_finite_stops_naming_the_layer(cafx: Run, folder: Path) -> None:
    arguments = ("train", "--solver", "solver.prototxt", "--quiet", "--set", "base_lr=1e8", "--set", "max_iter=500")
    told = cafx(*arguments, code=1).stderr
    assert len(told.splitlines()) == 1
    assert "layer '" in told
    assert not list(folder.glob("*.caffemodel"))
    cafx(*arguments, "--allow-nan")


@pytest.mark.parametrize("prefix", ["tiny", "tiny[1]"])
def test_keep_prunes_older_snapshots(prefix: str, cafx: Run, folder: Path) -> None:
    kept = [folder / f"{prefix}_iter_5.caffemodel.bak", folder / ".other_iter_5.caffemodel.x.part"]
    killed = folder / f".{prefix}_iter_5.caffemodel.x.part"
    for path in (*kept, killed):
        path.write_bytes(b"somebody's own")
    changes = ("--set", "snapshot=10", "--set", f"snapshot_prefix={prefix}")
    cafx("train", "--solver", "solver.prototxt", "-q", "--keep", "2", *changes)
    assert all(path.exists() for path in kept)
    assert not killed.exists()
    found = {path.name for path in folder.iterdir() if path.suffix in (".caffemodel", ".solverstate")}
    assert found == {f"{prefix}_iter_{i}.{end}" for i in (30, 40) for end in ("caffemodel", "solverstate")}


def test_monitors_by_name(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q", "--monitor", "metrics=run.jsonl", "--log", "run.log")
    assert (folder / "run.jsonl").is_file()
    assert "Optimization Done." in (folder / "run.log").read_text()
    told = cafx("train", "--solver", "solver.prototxt", "--monitor", "nope", code=1).stderr
    assert "unknown monitor 'nope'" in told


def test_debug_info_logs_every_blob(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q", "--debug-info", "--log", "run.log")
    text = (folder / "run.log").read_text()
    assert "[Forward] Layer ip1, top blob ip1 data:" in text
    assert "[Backward] Layer ip2, param blob 0 diff:" in text


def test_a_net_py_trains_and_reads_where_its_data_are(cafx: Run, folder: Path) -> None:
    (folder / "net.py").write_text(NET_PY)
    cafx("train", "net.py")
    assert (folder / "py_iter_5.caffemodel").is_file()
    cafx("train", "net.py", "--data", "elsewhere")
    assert (folder / "elsewhere_iter_5.caffemodel").is_file()


def test_a_net_py_that_raises_is_told_with_its_line(cafx: Run, folder: Path) -> None:
    (folder / "net.py").write_text("x = 1\nraise ValueError('no good')\n")
    told = cafx("train", "net.py", code=1).stderr
    assert "net.py:2" in told
    assert "no good" in told


def test_a_net_in_place_of_a_solver_is_told(cafx: Run) -> None:
    assert "this is a net" in cafx("train", "--solver", "net.prototxt", code=1).stderr


def _train(start: Start, *more: str) -> subprocess.Popen[str]:
    process = start("train", "--solver", "solver.prototxt", *FOREVER, *more)
    assert process.stderr is not None
    while "test:" not in process.stderr.readline():
        assert process.poll() is None
    return process


def _wait_for(folder: Path, pattern: str) -> list[Path]:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := list(folder.glob(pattern)):
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} in {PATIENCE} s")


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_hangup_takes_a_snapshot_and_interrupt_stops_with_one(folder: Path, start: Start) -> None:
    process = _train(start, "--set", "test_interval=1000000")
    process.send_signal(signal.SIGHUP)
    first = _wait_for(folder, "tiny_iter_*.solverstate")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    told, noted = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "again stops at once" in noted
    assert "Stopped after" in told
    assert "--snapshot tiny_iter_" in told
    assert len(list(folder.glob("tiny_iter_*.solverstate"))) == len(first) + 1


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_interrupt_takes_a_snapshot_though_none_was_asked_for_at_the_end(folder: Path, start: Start) -> None:
    process = _train(start, "--set", "snapshot_after_train=false")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert list(folder.glob("tiny_iter_*.solverstate"))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_effects_of_signals_can_be_chosen(start: Start) -> None:
    process = _train(start, "--sighup-effect", "stop", "--sigint-effect", "none")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
