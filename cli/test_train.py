"""``cafx train``: output, files, signals and errors."""

from __future__ import annotations

import functools
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cafx.cli.changes import apply_changes
from cafx.kernel import registry, schema
from cafx.kernel.net import read_weights

NET = """
name: "Tiny"
layer { name: "data" type: "Input" top: "data" top: "target"
  input_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip1" bottom: "target" top: "loss" }
"""
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

PATIENCE = 60
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
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


@pytest.mark.slow
def test_training_reports_its_outcome_and_next_commands(cafx: Run, folder: Path) -> None:
    result = cafx("train", "--solver", "solver.prototxt")
    assert "Trained 40 iterations" in result.stdout
    assert "Model: tiny_iter_40.caffemodel" in result.stdout
    assert "cafx test solver.prototxt --weights tiny_iter_40.caffemodel --iterations 2" in result.stdout
    assert (folder / "tiny_iter_40.solverstate").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("iterations", "message"),
    [
        (25, r"Trained 25 iterations in .* s: loss [\d.e-]+, test loss [\d.e-]+ \(at iteration 20\)"),
        (1, r"Trained 1 iteration in .* s: loss [\d.e-]+, test loss [\d.e-]+ \(at iteration 0\)"),
        (0, r"Trained 0 iterations in .* s: test loss [\d.e-]+"),
    ],
)
def test_older_scores_are_printed_with_their_iteration(cafx: Run, iterations: int, message: str) -> None:
    changes = ("--set", f"max_iter={iterations}", "--set", "display=0")  # display prints one more loss at the end
    result = cafx("train", "--solver", "solver.prototxt", *changes)
    assert re.fullmatch(message, result.stdout.splitlines()[0])


@pytest.mark.slow
def test_json_is_one_object_on_standard_output(cafx: Run) -> None:
    output = json.loads(cafx("train", "--solver", "solver.prototxt", "--json").stdout)
    assert output["finished"] is True
    assert output["iterations"] == 40
    assert output["loss"] < 0.01
    assert output["weights"] == "tiny_iter_40.caffemodel"


@pytest.mark.slow
def test_quiet_training_writes_nothing_to_standard_error(cafx: Run) -> None:
    assert cafx("train", "--solver", "solver.prototxt", "--quiet").stderr == ""


@pytest.mark.slow
def test_set_changes_solver_options(cafx: Run, folder: Path) -> None:
    changes = ("--set", "max_iter=7", "--set", "snapshot_prefix=other", "--set", "test_iter=1")
    cafx("train", "--solver", "solver.prototxt", "-q", *changes)
    assert (folder / "other_iter_7.caffemodel").is_file()


def test_set_changes_nested_fields_and_clears_lists() -> None:
    options = schema().parse_text(
        'test_iter: 3 train_state { level: 1 stage: "a" } snapshot_prefix: "b"', "SolverParameter"
    )
    changed = apply_changes(options, ["test_iter=", "train_state.level=3", "snapshot_prefix="])
    assert not changed.test_iter
    assert (changed.train_state.level, list(changed.train_state.stage), changed.snapshot_prefix) == (3, ["a"], "")
    assert list(apply_changes(options, ["train_state.stage=b,c"]).train_state.stage) == ["b", "c"]


@pytest.mark.parametrize("prefix", ['it"s', "a\\new", "b c"])
def test_set_takes_strings_verbatim(prefix: str) -> None:
    changed = apply_changes(schema()["SolverParameter"](), [f"snapshot_prefix={prefix}"])
    assert changed.snapshot_prefix == prefix


def test_set_strips_quotes() -> None:
    assert apply_changes(schema()["SolverParameter"](), ['snapshot_prefix="a b"']).snapshot_prefix == "a b"


@pytest.mark.slow
def test_long_outputs_are_abbreviated(cafx: Run, folder: Path) -> None:
    net = (folder / "net.prototxt").read_text()
    copy = (
        'layer { name: "copy" type: "Tile" bottom: "ip2" top: "copy" tile_param { tiles: 3 } include { phase: TEST } }'
    )
    (folder / "net.prototxt").write_text(net + copy)
    result = cafx("train", "--solver", "solver.prototxt", "--set", "max_iter=0")
    for output in (result.stdout.splitlines()[0], result.stderr):
        assert re.search(r"copy \[([\d.e-]+, ){10}… 24 values\]", output)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("base_lrr=1", "did you mean 'base_lr'"),
        slow("base_lr", "FIELD=VALUE"),
        slow("base_lr=", "no value for 'base_lr'"),
        slow("stepvalue=1,", "empty value in the list for 'stepvalue'"),
        slow("train_state.levle=1", "NetState has no field 'levle'; did you mean 'level'?"),
        slow("test_state.level=1", "'test_state' has no single field 'level'"),
        slow("base_lr=fast", "--set: the value of 'base_lr' cannot be read"),
        slow("type=Foo", "cafx-solver-foo"),
        slow("lr_policy=foo", "cafx-policy-foo"),
        slow("test_interval=0", "test_interval"),
        slow("snapshot_prefix=net.prototxt/x", "cannot be written to 'net.prototxt'"),
        slow("average_loss=0", "average_loss"),
    ],
)
def test_invalid_options_are_refused(cafx: Run, folder: Path, change: str, message: str) -> None:
    before = sorted(folder.iterdir())
    result = cafx("train", "--solver", "solver.prototxt", "--set", change, code=1)
    assert message in result.stderr.splitlines()[-1]
    assert sorted(folder.iterdir()) == before


@pytest.mark.slow
def test_a_dry_run_tries_everything_and_leaves_nothing(cafx: Run, folder: Path) -> None:
    before = sorted(folder.iterdir())
    arguments = ("--set", "snapshot_prefix=new/x", "--set", "snapshot=15", "--resume", "auto", "--dry-run")
    done = cafx("train", "--solver", "solver.prototxt", *arguments)
    assert "no snapshot to resume from: training begins at iteration 0" in done.stderr
    assert re.search(r"iteration +0: loss 2\.25, ", done.stdout)
    assert re.search(r"tests +one batch for 1 test net: loss ", done.stdout)
    assert re.search(r"snapshot +written to a temporary folder, restored and removed: [\d.]+ KiB", done.stdout)
    assert re.search(r"disk +new/x_iter_\*: 3 snapshots, ", done.stdout)
    assert sorted(folder.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "snapshot_prefix=net.prototxt/x"], "snapshots cannot be written to 'net.prototxt'"),
        (["--set", "base_lr=3e38", "--set", "test_iter=", "--set", "test_interval=0"], "not finite"),
        (["--monitor", "nonsense"], "nonsense"),
    ],
)
def test_a_dry_run_finds_what_would_stop_training(cafx: Run, folder: Path, arguments: list[str], message: str) -> None:
    before = sorted(folder.iterdir())
    assert message in cafx("train", "--solver", "solver.prototxt", *arguments, "--dry-run", code=1).stderr
    assert sorted(folder.iterdir()) == before


@pytest.mark.slow
def test_a_dry_run_of_a_resumed_run_begins_where_it_ended(cafx: Run, folder: Path) -> None:
    train = ("train", "--solver", "solver.prototxt", "-q", "--set", "max_iter=3")
    cafx(*train)
    before = sorted(folder.iterdir())
    output = json.loads(cafx(*train, "--resume", "auto", "--dry-run", "--json").stdout)
    assert (output["iteration"], output["snapshots"], output["prefix"]) == (3, 1, "tiny")
    assert sorted(folder.iterdir()) == before


@pytest.mark.slow
def test_auto_resumes_from_the_newest_complete_snapshot(cafx: Run, folder: Path) -> None:
    train = ("train", "--solver", "solver.prototxt", "-q", "--set", "snapshot=2")
    cafx(*train, "--set", "max_iter=4")
    (folder / "tiny_iter_4.caffemodel").unlink()
    done = cafx(*train, "--set", "max_iter=6", "--weights", "net_of_another_run.caffemodel", "--resume", "auto")
    assert "Stopped" not in done.stdout
    assert "from iteration 2 to 6" in done.stdout


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q")
    whole = read_weights(folder / "tiny_iter_40.caffemodel", registry())
    cafx("train", "--solver", "solver.prototxt", "-q", "--set", "max_iter=17")
    output = cafx("train", "--solver", "solver.prototxt", "-q", "--snapshot", "tiny_iter_17.solverstate").stdout
    assert output.startswith("Trained from iteration 17 to 40 in ")
    again = read_weights(folder / "tiny_iter_40.caffemodel", registry())
    for one, other in zip(whole, again, strict=True):
        for a, b in zip(one.blobs, other.blobs, strict=True):
            np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.slow
def test_fine_tuning_reports_loaded_layers(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q")
    net = (folder / "net.prototxt").read_text()
    (folder / "net.prototxt").write_text(net.replace('"ip2"', '"other"'))
    result = cafx("train", "--solver", "solver.prototxt", "--weights", "tiny_iter_40.caffemodel")
    assert "1 layer loaded; not in this net: ip2" in result.stderr
    assert "initialised by fillers: other" in result.stderr


@pytest.mark.slow
def test_weights_of_another_shape_are_refused(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q")
    net = (folder / "net.prototxt").read_text()
    (folder / "net.prototxt").write_text(net.replace("num_output: 5", "num_output: 6"))
    result = cafx("train", "--solver", "solver.prototxt", "-w", "tiny_iter_40.caffemodel", code=1)
    assert "layer 'ip1'" in result.stderr
    assert "5×3" in result.stderr
    assert "6×3" in result.stderr


@pytest.mark.slow
def test_a_finished_run_resumed_has_nothing_left_to_train(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q")
    before = (folder / "tiny_iter_40.caffemodel").read_bytes()
    changes = ("--set", "max_iter=30", "--snapshot", "tiny_iter_40.solverstate")
    output = cafx("train", "--solver", "solver.prototxt", "-q", *changes).stdout
    assert output.startswith("Nothing left to train: max_iter is 30, and 40 iterations were done already")
    assert (folder / "tiny_iter_40.caffemodel").read_bytes() == before


@pytest.mark.slow
def test_without_a_new_snapshot_the_end_says_why(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q", "--set", "snapshot=20")
    resumed = ("train", "--solver", "solver.prototxt", "--set", "snapshot=20", "--snapshot", "tiny_iter_40.solverstate")
    output = cafx(*resumed, "--set", "max_iter=30").stdout
    assert "No snapshot was written: nothing has changed since tiny_iter_40.solverstate." in output
    assert "--snapshot tiny_iter_40.solverstate --set max_iter=80 " in output
    off = cafx("train", "--solver", "solver.prototxt", "-q", "--set", "snapshot_after_train=false").stdout
    assert "No snapshot was written (snapshot_after_train is off)." in off


@pytest.mark.slow
def test_a_dash_sends_the_log_to_standard_output(cafx: Run, folder: Path) -> None:
    done = cafx("train", "--solver", "solver.prototxt", "-log", "-")
    assert re.search(r"^I\d{4} \S+ +\d+ solver\.cpp:\d+\] Iteration 10 ", done.stdout, re.MULTILINE)
    assert "iteration 10/40" in done.stderr
    assert "--log FILE" not in done.stdout
    assert not (folder / "-").exists()
    assert "both write to standard output" in cafx("train", "--solver", "s", "--log", "-", "--json", code=2).stderr


@pytest.mark.slow
def test_the_end_of_a_run_without_a_terminal_tells_of_the_log(cafx: Run) -> None:
    assert "--log FILE   # a log that Caffe's parse_log.py reads" in cafx("train", "--solver", "solver.prototxt").stdout


STAGED = (
    NET
    + """
layer { name: "extra" type: "InnerProduct" bottom: "MISSING" top: "extra" include { stage: "extra" PHASE }
  inner_product_param { num_output: 1 } }
"""
)


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "net"), [("phase: TEST", "test net 0"), ("phase: TRAIN", "training net")])
def test_a_stage_holds_for_all_nets_and_errors_name_the_net(phase: str, net: str, cafx: Run, folder: Path) -> None:
    (folder / "net.prototxt").write_text(STAGED.replace("PHASE", phase))
    cafx("train", "--solver", "solver.prototxt", "-q")
    error = cafx("train", "--solver", "solver.prototxt", "-stage", "other,extra", code=1).stderr
    assert f"(in the {net}, stage other, stage extra)" in error


@pytest.mark.slow
@pytest.mark.parametrize("written", ["", "train_state { stage: 'extra' } test_state { stage: 'more' }"])
def test_a_stage_is_added_to_those_of_the_solver(written: str, cafx: Run, folder: Path) -> None:
    (folder / "net.prototxt").write_text(STAGED.replace("PHASE", "").replace("MISSING", "ip1"))
    (folder / "solver.prototxt").write_text((folder / "solver.prototxt").read_text() + written)
    cafx("train", "--solver", "solver.prototxt", "-q", "--stage", "extra")
    assert "extra" in {layer.name for layer in read_weights(folder / "tiny_iter_40.caffemodel", registry())}


@pytest.mark.slow
def test_weights_and_snapshot_exclude_each_other(cafx: Run) -> None:
    cafx("train", "--solver", "solver.prototxt", "-w", "a", "--snapshot", "b", code=2)


@pytest.mark.slow
def test_a_non_finite_loss_stops_training_and_names_the_layer(cafx: Run, folder: Path) -> None:
    arguments = ("train", "--solver", "solver.prototxt", "--quiet", "--set", "base_lr=1e8", "--set", "max_iter=500")
    output = cafx(*arguments, code=1).stderr
    assert len(output.splitlines()) == 1
    assert "layer '" in output
    assert not list(folder.glob("*.caffemodel"))
    cafx(*arguments, "--allow-nan")


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["tiny", "tiny[1]"])
def test_keep_prunes_older_snapshots(prefix: str, cafx: Run, folder: Path) -> None:
    kept = [folder / f"{prefix}_iter_5.caffemodel.bak", folder / ".other_iter_5.caffemodel.x.part"]
    killed = folder / f".{prefix}_iter_5.caffemodel.x.part"
    for path in (*kept, killed):
        path.write_bytes(b"another program's")
    changes = ("--set", "snapshot=10", "--set", f"snapshot_prefix={prefix}")
    cafx("train", "--solver", "solver.prototxt", "-q", "--keep", "2", *changes)
    assert all(path.exists() for path in kept)
    assert not killed.exists()
    snapshots = {path.name for path in folder.iterdir() if path.suffix in (".caffemodel", ".solverstate")}
    assert snapshots == {f"{prefix}_iter_{i}.{end}" for i in (30, 40) for end in ("caffemodel", "solverstate")}


@pytest.mark.slow
def test_monitors_are_attached_by_name(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q", "--monitor", "metrics=run.jsonl", "--log", "run.log")
    assert (folder / "run.jsonl").is_file()
    assert "Optimization Done." in (folder / "run.log").read_text()
    output = cafx("train", "--solver", "solver.prototxt", "--monitor", "nope", code=1).stderr
    assert "unknown monitor 'nope'" in output


@pytest.mark.slow
def test_debug_info_logs_every_blob(cafx: Run, folder: Path) -> None:
    cafx("train", "--solver", "solver.prototxt", "-q", "--debug-info", "--log", "run.log")
    text = (folder / "run.log").read_text()
    assert "[Forward] Layer ip1, top blob ip1 data:" in text
    assert "[Backward] Layer ip2, param blob 0 diff:" in text


@pytest.mark.slow
def test_a_net_py_trains_and_reads_the_data_folder(cafx: Run, folder: Path) -> None:
    (folder / "net.py").write_text(NET_PY)
    cafx("train", "net.py")
    assert (folder / "py_iter_5.caffemodel").is_file()
    cafx("train", "net.py", "--data", "elsewhere")
    assert (folder / "elsewhere_iter_5.caffemodel").is_file()


@pytest.mark.slow
def test_an_error_in_a_net_py_names_its_line(cafx: Run, folder: Path) -> None:
    (folder / "net.py").write_text("x = 1\nraise ValueError('no good')\n")
    output = cafx("train", "net.py", code=1).stderr
    assert "net.py:2" in output
    assert "no good" in output


@pytest.mark.slow
def test_a_net_instead_of_a_solver_is_an_error(cafx: Run) -> None:
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


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_sighup_saves_a_snapshot_and_ctrl_c_saves_one_and_stops(folder: Path, start: Start) -> None:
    process = _train(start, "--set", "test_interval=1000000")
    process.send_signal(signal.SIGHUP)
    first = _wait_for(folder, "tiny_iter_*.solverstate")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, notes = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "press Ctrl-C again to stop now" in notes
    assert "Stopped after" in output
    assert "--snapshot tiny_iter_" in output
    assert len(list(folder.glob("tiny_iter_*.solverstate"))) == len(first) + 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_ctrl_c_saves_a_snapshot_without_snapshot_after_train(folder: Path, start: Start) -> None:
    process = _train(start, "--set", "snapshot_after_train=false")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert list(folder.glob("tiny_iter_*.solverstate"))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_effects_of_signals_are_options(start: Start) -> None:
    process = _train(start, "--sighup-effect", "stop", "--sigint-effect", "none")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
