"""Event files, parsed record by record."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from tensorboardX import record_writer
from tensorboardX.proto.event_pb2 import Event

from cafx.conformance import plugin_suite
from cafx.kernel import Solver, schema
from cafx_monitor_tensorboard import TensorBoard

TestTensorBoard = plugin_suite("monitor", "tensorboard")

SOLVER = """
net_param {
  layer { name: "x" type: "DummyData" top: "x" top: "y"
    dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { value: 1 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 } }
  layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
}
base_lr: 0.125 lr_policy: "fixed" max_iter: 3 test_iter: 1 test_interval: 3
"""


def events(folder: Path) -> list[Any]:
    """All events. A record is length, checksum of the length, event, checksum of the event."""
    events = []
    for path in sorted(folder.glob("events.*")):
        content, start = path.read_bytes(), 0
        while start < len(content):
            (length,) = struct.unpack_from("<Q", content, start)
            events.append(Event.FromString(content[start + 12 : start + 12 + length]))
            start += length + 16
    return events


def train(folder: Path) -> None:
    """Three iterations, two tests, one snapshot."""
    options = schema().parse_text(SOLVER, "SolverParameter")
    options.snapshot_prefix = str(folder.parent / "tiny")
    with Solver(options, engine="numpy", seed=1) as solver:
        solver.monitors.add(TensorBoard(str(folder)))
        solver.solve()


def test_losses_learning_rates_and_scores_are_scalars(tmp_path: Path) -> None:
    train(tmp_path / "runs")
    scalars: dict[str, list[tuple[int, float]]] = {}
    for event in events(tmp_path / "runs"):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert set(scalars) == {"train/loss", "train/lr", "test/loss"}
    assert scalars["train/lr"] == [(1, 0.125), (2, 0.125), (3, 0.125)]
    assert [step for step, _ in scalars["test/loss"]] == [0, 3]
    losses = [loss for _, loss in scalars["train/loss"]]
    assert losses[0] == 1
    assert losses[2] < losses[1] < losses[0]


def test_a_snapshot_adds_one_histogram_per_parameter(tmp_path: Path) -> None:
    train(tmp_path / "runs")
    tags = {v.tag for event in events(tmp_path / "runs") for v in event.summary.value if v.HasField("histo")}
    assert tags == {"ip/0", "ip/1"}


def test_a_resumed_run_hides_events_after_its_snapshot(tmp_path: Path) -> None:
    options = schema().parse_text(SOLVER, "SolverParameter")
    options.snapshot_prefix = str(tmp_path / "tiny")
    for resume in (None, tmp_path / "tiny_iter_3.solverstate"):
        with Solver(options, engine="numpy", seed=1) as solver:
            solver.monitors.add(TensorBoard(str(tmp_path / "runs" / str(resume is None))))
            solver.solve(resume)
    begun = [e.step for e in events(tmp_path / "runs" / "False") if e.HasField("session_log")]
    assert begun == [4]
    assert not any(e.HasField("session_log") for e in events(tmp_path / "runs" / "True"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_disables_the_monitor_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record_writer, "open_file", lambda _: Path("/dev/full").open("wb"))  # noqa: SIM115
    train(tmp_path / "runs")
    messages = [record.message for record in caplog.records if "TensorBoard" in record.message]
    assert len(messages) == 1
    assert "No space left" in messages[0]
    assert capfd.readouterr().err == ""
    assert (tmp_path / "tiny_iter_3.caffemodel").is_file()
