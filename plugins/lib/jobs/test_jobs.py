"""Slices, tasks that prove what made them, retries, and what a job keeps."""

from __future__ import annotations

import doctest
import importlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cafx.kernel import CafxError, registry
from cafx_lib_jobs.databases import write_part
from cafx_lib_jobs.executor import Done, Executor, Lost, Work
from cafx_lib_jobs.folder import JobFolder
from cafx_lib_jobs.hold import Hold
from cafx_lib_jobs.job import Job
from cafx_lib_jobs.manifest import Manifest
from cafx_lib_jobs.options import JobChoice, job_options
from cafx_lib_jobs.records import read_arrays, read_items, write_arrays, write_items
from cafx_lib_jobs.running import run
from cafx_lib_jobs.task import Report, Task

HERE = JobChoice("local", 1)


@pytest.mark.parametrize("name", ["manifest", "hold", "folder", "shards", "memory"])
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"cafx_lib_jobs.{name}")).failed == 0


@given(st.integers(0, 100_000), st.integers(1, 300))
def test_slices_cover_the_records_once_and_in_order(count: int, multiple: int) -> None:
    slices = list(Manifest.of(count, multiple).slices())
    assert [each.number for each in slices] == list(range(len(slices)))
    assert [number for each in slices for number in range(each.start, each.stop)] == list(range(count))
    assert all(len(each) % multiple == 0 for each in slices[:-1])


@given(st.integers(1, 500), st.data())
def test_parts_differ_by_one_record_at_most(count: int, data: Any) -> None:
    parts = data.draw(st.integers(1, count))
    sizes = [len(each) for each in Manifest.into(count, parts).slices()]
    assert len(sizes) == parts
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1


def double(records: list[int], out: Path, hold: Hold, *, factor: int = 2, log: str = "") -> Report:
    """Write the doubles of even numbers; odd ones are bad, and 13 is an error."""
    if log:
        with Path(log).open("a") as file:
            file.write(f"{records[0]}\n")
    if 13 in records:
        raise CafxError("unlucky", where="list:13", found=13)
    out.write_text(" ".join(str(factor * each) for each in records if each % 2 == 0))
    even = sum(each % 2 == 0 for each in records)
    return Report(even, [f"{each} is odd" for each in records if each % 2])


def task(folder: Path, **changes: Any) -> Task:
    fields = {"function": double, "arguments": {"factor": 2}, "records": [0, 1, 2], "number": 0}
    paths = {"out": str(folder / "out"), "folder": str(folder), "inputs": (str(folder / "input"),)}
    return Task(**{**fields, **paths, **changes})


def test_a_finished_task_is_known_by_its_function_arguments_records_and_inputs(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("x")
    assert task(tmp_path).finished() is None
    made = task(tmp_path).run(Hold())
    known = task(tmp_path).finished()
    assert known is not None
    assert known.reused
    assert known.report == made.report == Report(2, ["1 is odd"])
    others = [{"arguments": {"factor": 3}}, {"records": [0, 1, 4]}, {"function": test_examples}, {"inputs": ()}]
    for changes in others:
        assert task(tmp_path, **changes).finished() is None
    assert [each.suffix for each in tmp_path.iterdir() if each.suffix == ".part"] == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["output", "input", "record", "setting"])
def test_a_task_is_done_again_if_anything_has_changed(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input").write_text("x")
    task(tmp_path).run(Hold())
    if damage == "output":
        (tmp_path / "out").write_text("0")
    elif damage == "input":
        (tmp_path / "input").write_text("longer")
    elif damage == "record":
        (tmp_path / "00000.json").write_text(json.dumps({"task": 1}))
    else:
        monkeypatch.setenv("CAFX_ENGINE", "numpy")
    assert task(tmp_path).finished() is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"report": 1}', "\0"])
def test_a_strange_side_record_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "00000.json").write_text(text)
    (tmp_path / "out").write_text("x")
    assert task(tmp_path).finished() is None


def test_a_task_that_fails_leaves_no_output(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="unlucky"):
        task(tmp_path, records=[13]).run(Hold())
    assert list(tmp_path.iterdir()) == []


def test_arguments_must_be_plain_values(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="is not a plain value"):
        task(tmp_path, arguments={"factor": object()})


class Scripted(Executor):
    """Runs tasks in this process, last first; loses those that a script says, as often as it says."""

    def __init__(self, lost: dict[int, int]) -> None:
        super().__init__(1)
        self.lost = lost

    def map(self, function: Work, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        for index, each in reversed(list(enumerate(tasks))):
            if self.lost.get(each.number, 0) > 0:
                self.lost[each.number] -= 1
                yield Lost(index, "its worker was ended by SIGKILL")
            else:
                yield Done(index, function(each, Hold()))


def tasks(folder: Path, count: int = 4) -> list[Task]:
    return [
        task(folder, records=[2 * number], number=number, out=str(folder / f"{number}.out"), inputs=())
        for number in range(count)
    ]


def test_outcomes_come_in_order_and_lost_tasks_are_tried_again(tmp_path: Path) -> None:
    outcomes = list(run(tasks(tmp_path), Scripted({1: 2, 3: 1})))
    assert [outcome.number for outcome in outcomes] == [0, 1, 2, 3]
    assert [Path(outcome.out).read_text() for outcome in outcomes] == ["0", "4", "8", "12"]


def test_a_task_that_is_lost_too_often_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match=r"slice 2 of 4 failed 3 times: its worker was ended by SIGKILL"):
        list(run(tasks(tmp_path), Scripted({1: 3})))
    assert (tmp_path / "0.out").exists()


def test_errors_of_a_person_s_making_are_not_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    unlucky = task(tmp_path, records=[13], arguments={"log": str(log)})
    with pytest.raises(CafxError, match="list:13: unlucky: got 13"):
        list(run([unlucky], Scripted({})))
    assert log.read_text() == "13\n"


def fragile(records: list[int], out: Path, hold: Hold, *, log: str) -> Report:
    """Fail in an unexpected way, twice."""
    with Path(log).open("a") as file:
        file.write("x")
    if Path(log).stat().st_size < 3:
        raise OSError(5, "Input/output error")
    out.write_text("done")
    return Report(1)


def test_unexpected_errors_are_tried_again_and_keep_their_traceback(tmp_path: Path) -> None:
    again = task(tmp_path, function=fragile, arguments={"log": str(tmp_path / "log")})
    with pytest.raises(CafxError, match=r"failed 2 times: OSError.*--debug") as caught:
        list(run([again], Scripted({}), retries=1))
    assert "in fragile" in str(caught.value.__cause__)
    assert len(list(run([again], Scripted({}), retries=1))) == 1


def job(folder: Path, records: Any, **changes: Any) -> Job:
    arguments = {"log": str(folder / "log"), **changes.pop("arguments", {})}
    fields: dict[str, Any] = {"manifest": Manifest(len(records), 4), "label": "doubling", "target": folder / "result"}
    return Job(function=double, arguments=arguments, records=records, **{**fields, **changes})


def result(made: Job) -> str:
    with made.outcomes(HERE) as outcomes:
        return " ".join(Path(outcome.out).read_text() for outcome in outcomes)


def test_a_job_that_fails_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = [*range(12), 13, 14]
    with pytest.raises(CafxError, match="unlucky"):
        result(job(tmp_path, numbers))
    told = capsys.readouterr().err
    assert "3 of 4 slices are kept in" in told
    assert "skipped: 11 is odd" in told
    (tmp_path / "log").unlink()
    numbers[12] = 12
    assert result(job(tmp_path, numbers)) == "0 4 8 12 16 20 24 28"
    assert (tmp_path / "log").read_text() == "12\n"
    assert "resuming: 3 of 4 slices are finished" in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log"]


def test_nothing_is_kept_of_a_job_of_which_nothing_is_finished(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="unlucky"):
        result(job(tmp_path, [13]))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log"]


@pytest.mark.slow
def test_an_interrupted_job_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with job(tmp_path, range(0, 40, 2)).outcomes(HERE) as outcomes:
            next(outcomes)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "1 of 5 slices are kept" in capsys.readouterr().err
    (tmp_path / "log").unlink()
    result(job(tmp_path, range(0, 40, 2)))
    assert len((tmp_path / "log").read_text().split()) == 4


def test_two_processes_do_not_run_one_job(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "a.job", "x")
    with pytest.raises(CafxError, match="another process"):
        JobFolder(tmp_path / "a.job", "x")
    folder.close()
    (tmp_path / "a.job/00001.abcd.part").write_text("left by a worker that was killed")
    JobFolder(tmp_path / "a.job", "x").close()
    assert sorted(each.name for each in (tmp_path / "a.job").iterdir()) == ["job.json"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "result.job").mkdir()
    (tmp_path / "result.job/thesis.txt").write_text("precious")
    with pytest.raises(CafxError, match="is not the folder of a job"):
        result(job(tmp_path, [0]))
    with pytest.raises(CafxError, match="cannot be created"):
        result(job(tmp_path, [0], target=tmp_path / "nowhere/result"))
    assert (tmp_path / "result.job/thesis.txt").exists()


def test_outputs_that_are_results_are_not_overwritten(tmp_path: Path) -> None:
    outs = [tmp_path / "a", tmp_path / "b"]
    outs[1].write_text("precious")
    with pytest.raises(CafxError, match="already exists"):
        result(job(tmp_path, range(8), outs=outs))
    assert outs[1].read_text() == "precious"
    assert not outs[0].exists()


def test_without_a_target_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert result(job(tmp_path, [0, 2], target=None)) == "0 4"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log"]


ITEMS = [(b"a", b""), (b"bc", b"\0" * 300), (b"", b"x")]


def test_items_and_arrays_come_back(tmp_path: Path) -> None:
    assert write_items(tmp_path / "items", ITEMS) == 3
    assert list(read_items(tmp_path / "items")) == ITEMS
    arrays = [np.arange(6.0).reshape(2, 3), np.zeros((0, 2), np.uint8), np.array(3)]
    assert write_arrays(tmp_path / "arrays", arrays) == 3
    for found, expected in zip(read_arrays(tmp_path / "arrays"), arrays, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_truncated_items_are_told(tmp_path: Path) -> None:
    write_items(tmp_path / "items", ITEMS)
    whole = (tmp_path / "items").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(CafxError, match="not the whole output"):
            list(read_items(tmp_path / "cut"))
    (tmp_path / "cut").write_bytes(whole + b"x")
    with pytest.raises(CafxError, match="not the whole output"):
        list(read_items(tmp_path / "cut"))


def test_an_empty_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="a shard would be empty"):
        write_part(tmp_path / "shard", [], "lmdb")
    assert write_part(tmp_path / "file", [], None) == 0


def test_what_a_worker_holds_is_closed() -> None:
    closed: list[int] = []

    class Net:
        def __init__(self, number: int) -> None:
            self.number = number

        def close(self) -> None:
            closed.append(self.number)

    hold = Hold()
    assert hold.get(Net, 1) is hold.get(Net, 1)
    hold.get(Net, 2)
    assert closed == [1]
    hold.close()
    assert closed == [1, 2]


@click.command()
@job_options
def choose(jobs: JobChoice) -> None:
    """Print the choice."""
    click.echo(str(attrs.astuple(jobs)) if jobs else "none")
    if jobs:
        jobs.open()


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        ([], "none", 0),
        (["--workers", "3"], "('local', 3, None)", 0),
        (["--executor", "local"], "('local', None, None)", 0),
        (["--address", "x:1"], "--address needs --executor ray", 2),
        (["--executor", "local", "--address", "x:1"], "--executor ray has", 2),
        (["--workers", "-1"], "--workers", 2),
    ],
)
def test_the_command_line_chooses(arguments: list[str], text: str, code: int) -> None:
    done = CliRunner().invoke(choose, arguments)
    assert text in done.output
    assert done.exit_code == code


def test_an_unknown_executor_is_told() -> None:
    with pytest.raises(CafxError, match="unknown executor 'locl'; did you mean 'local'"):
        JobChoice("locl").open()
    assert "local" in registry().names("executor")


def test_relative_paths_mean_what_they_mean_to_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cafx_lib_jobs.task import Outcome, perform

    monkeypatch.chdir(tmp_path)
    (tmp_path / "j").mkdir()
    made = task(Path("j"), inputs=())
    monkeypatch.chdir("/")
    assert isinstance(perform(made, Hold()), Outcome)
    assert Path.cwd() == tmp_path
    monkeypatch.chdir("/")
    failure: Any = perform(attrs.evolve(made, cwd=str(tmp_path / "gone")), Hold())
    assert f"worker on {os.uname().nodename}" in str(failure.exception(1, 1))
