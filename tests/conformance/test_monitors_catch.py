"""Each check of the checklist of monitors catches a monitor that violates its requirement."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import pytest

from cafx.conformance import Subject, load_checks
from cafx.conformance.catching import problems_of
from cafx.conformance.kinds.monitor import MonitorCase
from cafx.kernel import CafxError, Registry, Solver, hookimpl, schema

CHECKS = load_checks("monitor")


class Losses:
    """A correct monitor: appends the loss of each iteration to a file."""

    def __init__(self, target: str = "losses.txt") -> None:
        self.path = Path(target)
        self.file: IO[str] | None = None
        if not self.path.parent.is_dir():
            raise CafxError("cannot be written", where=target)

    @hookimpl
    def training_started(self, solver: Any) -> None:
        """Open the file."""
        self.file = self.file or self.path.open("a")

    @hookimpl
    def iteration_finished(self, loss: float) -> None:
        """Write one line."""
        assert self.file is not None
        self.file.write(f"{loss}\n")
        self.file.flush()

    @hookimpl
    def training_finished(self, solver: Any) -> None:
        """Close the file."""
        if self.file:
            self.file.close()
            self.file = None

    @classmethod
    def cases(cls) -> Iterable[MonitorCase]:
        """One that is accepted, one that is refused."""
        yield MonitorCase("file", "{folder}/losses.txt", files=["losses.txt"])
        yield MonitorCase("no-folder", "{folder}/missing/losses.txt", error="cannot be written")


class Stopping:
    """A correct monitor: stops the training after two iterations."""

    @hookimpl
    def iteration_finished(self, solver: Any) -> None:
        """Count."""
        if solver.iter == 2:
            solver.stopped = True

    @classmethod
    def cases(cls) -> Iterable[MonitorCase]:
        """There is one kind of it."""
        yield MonitorCase("second", stops_at=2)


WRONG: list[tuple[str, type[Any]]] = []


def wrong(*checks: str) -> Any:
    """Register a monitor that each of the checks must catch."""

    def register(monitor: type[Any]) -> type[Any]:
        monitor.__doc__ = monitor.__doc__ or Losses.__doc__
        WRONG.extend((check, monitor) for check in checks)
        return monitor

    return register


def cases(*given: MonitorCase) -> Any:
    return classmethod(lambda cls: given)


@wrong("entry-point")
class WithoutHooks:
    cases = Losses.cases


@wrong("docstring")
class Undocumented(Losses):
    """Losses."""


@wrong("cases")
class WithoutCases(Losses):
    cases = cases()


@wrong("hooks")
class Misspelt(Losses):
    @hookimpl
    def iteration_done(self, solver: Any) -> None:
        """Never called."""


@wrong("hooks")
class OtherArguments(Losses):
    @hookimpl
    def test_started(self, solver: Any, net: Any) -> None:
        """Has no net."""


@wrong("runs")
class Raising(Losses):
    @hookimpl
    def test_finished(self, scores: Any) -> None:
        """Ask for what is not there."""
        scores["accuracy"]


@wrong("full-disk")
class Swallowing(Losses):
    @hookimpl
    def iteration_finished(self, loss: float) -> None:
        """Write elsewhere from the first error on."""
        try:
            super().iteration_finished(loss)
        except OSError:
            self.file = Path(os.devnull).open("w")  # noqa: SIM115


@wrong("runs", "refused")
class Silent(Losses):
    cases = cases(MonitorCase("file", "{folder}/other.txt", files=["losses.txt"]))


@wrong("harmless")
class Scaling(Losses):
    @hookimpl
    def test_finished(self, solver: Any) -> None:
        """Change a parameter."""
        blob = solver.net.params["ip"][0]
        blob.set_data(blob.host() * 0.5)


@wrong("harmless")
class Forwarding(Losses):
    @hookimpl
    def training_started(self, solver: Any) -> None:
        """Take a batch."""
        super().training_started(solver)
        solver.net.run_forward()


@wrong("harmless")
class Skipping(Losses):
    @hookimpl
    def training_started(self, solver: Any) -> None:
        """Start late."""
        super().training_started(solver)
        solver.iter = 1


@wrong("stops")
class Stealthy(Stopping):
    """Stops the training, and does not say so."""

    cases = cases(MonitorCase("second"))


@wrong("stops")
class Endless(Stopping):
    """Stops the training after three iterations, in truth."""

    cases = cases(MonitorCase("third", stops_at=3))


@wrong("without-tests")
class NeedsTests(Losses):
    @hookimpl
    def training_started(self, solver: Any) -> None:
        """Ask for a test net."""
        super().training_started(solver)
        assert solver.test_nets[0]


@wrong("tests-alone")
class NeedsTraining(Losses):
    @hookimpl
    def test_finished(self, scores: Any) -> None:
        """Write what may not be open."""
        assert self.file is not None
        self.file.write(f"{scores}\n")


RUNNING: set[int] = set()


@wrong("twice")
class Single(Losses):
    @hookimpl
    def training_started(self, solver: Any) -> None:
        """There is one per training."""
        super().training_started(solver)
        if id(solver) in RUNNING:
            raise RuntimeError("there is one already")
        RUNNING.add(id(solver))

    @hookimpl
    def training_finished(self, solver: Any) -> None:
        """Make room."""
        super().training_finished(solver)
        RUNNING.discard(id(solver))


@wrong("ends-early")
class Trusting(Losses):
    @hookimpl
    def training_finished(self, solver: Any) -> None:
        """Close what may not be open."""
        assert self.file is not None
        self.file.close()


@wrong("ends-early")
class Final(Losses):
    ended = False

    @hookimpl
    def training_started(self, solver: Any) -> None:
        """Start once."""
        if self.ended:
            raise RuntimeError("ended")
        super().training_started(solver)

    @hookimpl
    def training_finished(self, solver: Any) -> None:
        """End for good."""
        super().training_finished(solver)
        self.ended = True


@wrong("closes")
class LeftOpen(Losses):
    @hookimpl
    def training_finished(self, solver: Any) -> None:
        """Forget."""


@wrong("closes")
class Threaded(Losses):
    @hookimpl
    def training_finished(self, solver: Any) -> None:
        """Leave a thread behind for a while."""
        super().training_finished(solver)
        threading.Timer(0.5, str).start()


@wrong("resume")
class Overwriting(Losses):
    @hookimpl
    def training_started(self, solver: Any) -> None:
        """Open the file anew."""
        self.file = self.file or self.path.open("w")


@wrong("full-disk")
class Complaining(Losses):
    @hookimpl
    def training_started(self, solver: Any) -> None:
        """Open the file and let the net fail with it."""
        super().training_started(solver)
        solver.monitors.add(Losses(str(self.path)))


@wrong("refused")
class Lenient(Losses):
    def __init__(self, target: str = "losses.txt") -> None:
        self.path, self.file = Path(target), None


@wrong("refused")
class Unclear(Losses):
    cases = cases(MonitorCase("no-folder", "{folder}/missing/losses.txt", error="no such folder"))


@pytest.fixture(scope="module")
def plugins() -> Registry:
    """One registry with all of them, so that the schema is composed once."""
    found = Registry()
    for each in {Losses, Stopping, *(monitor for _, monitor in WRONG)}:
        found.add("monitor", each.__name__, each)
    return found


def failures(plugins: Registry, monitor: type[Any], check_id: str) -> list[str]:
    """What one check says."""
    return problems_of(Subject.of(monitor.__name__, plugins, "monitor"), "monitor", check_id)


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "monitor"), WRONG, ids=lambda each: getattr(each, "__name__", each))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_check_catches_it(check_id: str, monitor: type[Any], plugins: Registry) -> None:
    assert failures(plugins, monitor, check_id)


@pytest.mark.slow
@pytest.mark.parametrize("monitor", [Losses, Stopping])
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_monitor_passes(check_id: str, monitor: type[Any], plugins: Registry) -> None:
    assert failures(plugins, monitor, check_id) == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)


class Recorder:
    """Notes every call of a hook, with its arguments."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls

    @hookimpl
    def net_built(self, net: Any) -> None:
        self.calls.append(("net_built", net.phase.name))

    @hookimpl
    def training_started(self, solver: Any) -> None:
        self.calls.append(("training_started", solver.iter))

    @hookimpl
    def test_started(self, solver: Any, index: int) -> None:
        self.calls.append(("test_started", solver.iter, index))

    @hookimpl
    def test_finished(self, solver: Any, index: int, scores: Any) -> None:
        self.calls.append(("test_finished", solver.iter, index, sorted(scores)))

    @hookimpl
    def iteration_finished(self, solver: Any, loss: float, rate: float) -> None:
        self.calls.append(("iteration_finished", solver.iter, type(loss), rate))

    @hookimpl
    def snapshot_saved(self, solver: Any, weights: str, state: str) -> None:
        self.calls.append(("snapshot_saved", solver.iter, Path(weights).name, Path(state).name))

    @hookimpl
    def final_loss(self, solver: Any, loss: float) -> None:
        self.calls.append(("final_loss", solver.iter, type(loss)))

    @hookimpl
    def training_finished(self, solver: Any) -> None:
        self.calls.append(("training_finished", solver.iter))


LAYERS = """
  layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 } data_filler { value: 1 } } }
  layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 1 axis: 0 }
    loss_weight: 1 }
"""
TRAINING = f"""
net_param {{ {LAYERS} }} test_net_param {{ {LAYERS} }}
base_lr: 0.5 lr_policy: "fixed" max_iter: 2 test_iter: 1 test_interval: 2 display: 2 snapshot: 2 random_seed: 1
"""


def test_hooks_are_called_in_order_with_the_documented_arguments(tmp_path: Path) -> None:
    options = schema().parse_text(TRAINING, "SolverParameter")
    options.snapshot_prefix, calls = str(tmp_path / "s"), []
    with Solver(options, engine="numpy") as solver:
        solver.monitors.add(Recorder(calls))
        solver.solve()
    assert calls == [
        ("net_built", "TRAIN"),
        ("net_built", "TEST"),
        ("training_started", 0),
        ("test_started", 0, 0),
        ("test_finished", 0, 0, ["ip"]),
        ("iteration_finished", 1, float, 0.5),
        ("iteration_finished", 2, float, 0.5),
        ("snapshot_saved", 2, "s_iter_2.caffemodel", "s_iter_2.solverstate"),
        ("final_loss", 2, float),
        ("test_started", 2, 0),
        ("test_finished", 2, 0, ["ip"]),
        ("training_finished", 2),
    ]


def test_a_monitor_that_raises_is_reported_once_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Any] = []

    class Broken:
        @hookimpl
        def iteration_finished(self, solver: Any) -> None:
            raise ValueError("no reason")

    options = schema().parse_text(TRAINING + "snapshot_after_train: false", "SolverParameter")
    options.snapshot = 0
    with Solver(options, engine="numpy") as solver:
        solver.monitors.add(Broken())
        solver.monitors.add(Recorder(calls))
        assert solver.solve()
    said = [each.getMessage() for each in caplog.records if each.name == "cafx.monitors"]
    assert len(said) == 1
    assert all(word in said[0] for word in ("Broken", "iteration_finished", "no reason"))
    assert [each[1] for each in calls if each[0] == "iteration_finished"] == [1, 2]
