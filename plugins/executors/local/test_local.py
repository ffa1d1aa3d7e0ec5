"""Tasks in processes of their own: results, what they hold, lost workers, Ctrl-C."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import registry
from cafx_executor_local import Local
from cafx_lib_jobs.executor import Done, Lost

TestLocal = pytest.mark.slow(plugin_suite("executor", "local"))

WORK = """
import os, signal, time

def pid(task, hold):
    return task, hold.get(os.getpid), hold.cores

def fragile(task, hold):
    if task == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "exit":
        os._exit(3)
    return task

def wait(task, hold):
    time.sleep(task)

def talk(task, hold):
    print("a layer talks", flush=True)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "work_of_test_local.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("work_of_test_local", None)
    return importlib.import_module("work_of_test_local")


@pytest.mark.parametrize("workers", [0, 1])
def test_without_workers_tasks_run_here(workers: int, work: Any) -> None:
    with Local(workers) as executor:
        assert list(executor.map(work.pid, "ab")) == [Done(n, (each, os.getpid(), None)) for n, each in enumerate("ab")]


def test_it_is_found_and_has_a_worker_per_core() -> None:
    assert registry().load("executor", "local") is Local
    assert Local().workers == os.cpu_count()


@pytest.mark.slow
def test_workers_are_other_processes_that_hold_things_over_rounds(work: Any) -> None:
    with Local(2) as executor:
        rounds = [[each.value for each in executor.map(work.pid, range(20)) if isinstance(each, Done)] for _ in "ab"]
    pids = {pid for done in rounds for _, pid, _ in done}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert [sorted(number for number, *_ in done) for done in rounds] == [list(range(20))] * 2
    assert all(cores == max(1, (os.cpu_count() or 1) // 2) for *_, cores in rounds[0])


@pytest.mark.slow
def test_a_round_that_was_given_up_does_not_answer_the_next(work: Any) -> None:
    with Local(2) as executor:
        results = executor.map(work.wait, [0, 0.5])
        assert next(results) == Done(0, None)
        results.close()
        assert sorted(executor.map(work.fragile, "abcdef"), key=lambda each: each.index) == [
            Done(number, each) for number, each in enumerate("abcdef")
        ]


@pytest.mark.slow
def test_a_lost_worker_is_replaced_and_told(work: Any) -> None:
    with Local(2) as executor:
        found = list(executor.map(work.fragile, ["a", "kill", "b", "exit", *"cdef"]))
        again = list(executor.map(work.fragile, "gh"))
    lost = {each.index: each.reason for each in found if isinstance(each, Lost)}
    assert lost == {1: "its worker was ended by SIGKILL", 3: "its worker exited with 3"}
    assert sorted(each.value for each in found + again if isinstance(each, Done)) == list("abcdefgh")


@pytest.mark.slow
def test_stopping_does_not_wait_for_tasks(work: Any) -> None:
    executor = Local(2)
    executor.start()
    processes = [worker.process for worker in executor._workers]
    results = executor.map(work.wait, [0.0, 600, 600])
    next(results)
    executor.stop()
    executor.stop()
    results.close()
    assert not any(process.is_alive() for process in processes)


SCRIPT = """
import sys
from cafx_executor_local import Local
import work_of_test_local as work
if __name__ == "__main__":
    with Local(2) as executor:
        for done in executor.map(work.{name}, {tasks}):
            print("done", flush=True)
"""


def start(tmp_path: Path, name: str, tasks: str) -> subprocess.Popen[str]:
    (tmp_path / "script.py").write_text(SCRIPT.format(name=name, tasks=tasks))
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, str(tmp_path / "script.py")]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(number: int, tmp_path: Path, work: Any) -> None:
    process = start(tmp_path, "wait", "[0.0, 2, 2, 2]")
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    os.killpg(process.pid, number) if number == signal.SIGINT else process.kill()
    _, error = process.communicate(timeout=60)
    assert error.count("KeyboardInterrupt") == (number == signal.SIGINT), "workers say nothing"
    deadline = time.monotonic() + 30
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert members(process.pid) == []


def members(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in found.splitlines()]
    return [state for number, state in rows if int(number) == group and not state.startswith("Z")]


@pytest.mark.slow
def test_standard_output_is_for_results(tmp_path: Path, work: Any) -> None:
    process = start(tmp_path, "talk", "[1, 2]")
    out, error = process.communicate(timeout=60)
    assert out == "done\ndone\n"
    assert error.count("a layer talks") == 2
