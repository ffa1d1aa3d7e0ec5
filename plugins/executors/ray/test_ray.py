"""Jobs on a Ray cluster of this machine: a killed worker, one without the plugin, and addresses nobody answers at."""

from __future__ import annotations

import contextlib
import doctest
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cafx_executor_ray
from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, registry
from cafx_executor_ray import Ray, check_address

TestRay = pytest.mark.long(plugin_suite("executor", "ray"))

SCRIPT = """
import sys
from pathlib import Path
from cafx_lib_jobs.job import Job
from cafx_lib_jobs.manifest import Manifest
from cafx_lib_jobs.options import JobChoice
import work_of_test_ray as work

def main(address):
    job = Job(function=work.square, arguments={"flag": "killed"}, records=range(12), manifest=Manifest(12, 2),
              label="squaring", unit="numbers", target="result")
    with job.outcomes(JobChoice("ray", 2, address)) as outcomes:
        print(*(Path(outcome.out).read_text() for outcome in outcomes))

if __name__ == "__main__":
    from cafx.kernel import CafxError
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else None)
    except CafxError as error:
        sys.exit(str(error))
"""
WORK = """
import os, signal
from pathlib import Path
from cafx_lib_jobs.task import Report

def square(records, out, hold, flag):
    if records[0] == 4 and not Path(flag).exists():
        Path(flag).write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    out.write_text(" ".join(str(each * each) for each in records))
    return Report(len(records))
"""
BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "cafx_executor_ray":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Blocker())
"""


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the job; the home folder, where Ray keeps its token, is one of its own."""
    (folder / "work_of_test_ray.py").write_text(WORK)
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=170, check=False
    )


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(folder), "PYTHONPATH": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.mark.slow
def test_a_job_with_a_killed_worker_ends_right(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(number * number) for number in range(12)]
    assert (tmp_path / "killed").exists(), "a worker has been killed"
    assert "slice 3 of 6: its worker was lost" in done.stderr
    assert "12 numbers in" in done.stderr
    assert not (tmp_path / "result.job").exists()


@contextlib.contextmanager
def cluster(folder: Path, port: int) -> Iterator[None]:
    """A cluster of two cores whose workers cannot import the plugin."""
    (folder / "hidden").mkdir()
    (folder / "hidden/sitecustomize.py").write_text(BLOCKED)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    options = ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000", "--disable-usage-stats"]
    settings = {**environment(folder), "PYTHONPATH": str(folder / "hidden")}
    process = subprocess.Popen(
        [*command, *options, f"--temp-dir=/tmp/ray-{port}"],
        env=settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(CafxError):
                check_address(f"127.0.0.1:{port}")
                break
            assert time.monotonic() < deadline, "the cluster has not started"
            assert process.poll() is None
            time.sleep(1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(f"/tmp/ray-{port}", ignore_errors=True)


@pytest.mark.long
def test_a_worker_without_the_plugin_is_one_clear_line(tmp_path: Path) -> None:
    port = free_port()
    with cluster(tmp_path, port):
        done = run(tmp_path, f"127.0.0.1:{port}")
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert "a worker of the Ray cluster lacks a plugin" in line
    assert "No module named 'cafx_executor_ray'" in line
    assert "install the same distributions" in line


def test_nobody_answers() -> None:
    with pytest.raises(CafxError, match=r"no Ray cluster answers at 127\.0\.0\.1:\d+: Connection refused; start a"):
        Ray(2, f"127.0.0.1:{free_port()}").start()


@pytest.mark.slow
def test_something_else_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cafx_executor_ray, "SECONDS_TO_PROVE", 5)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(CafxError, match="no Ray cluster"):
        check_address(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("address", ["", "head", "head:", ":1", "head:0", "head:99999", "ray://head", "a:b:c"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(CafxError, match="not the address of a Ray cluster"):
        check_address(address)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("The actor died:\n  File x\nModuleNotFoundError: No module named 'cafx_layer_foo'\n\n", "'cafx_layer_foo'"),
        ("The actor died unexpectedly.\nmore", "fail to start: The actor died unexpectedly."),
    ],
)
def test_broken_workers_are_one_line(text: str, message: str) -> None:
    error = cafx_executor_ray._broken_worker(text)
    assert message in str(error)
    assert "\n" not in str(error)


def test_it_is_found_and_its_examples_hold() -> None:
    assert registry().load("executor", "ray") is Ray
    assert doctest.testmod(cafx_executor_ray).failed == 0
