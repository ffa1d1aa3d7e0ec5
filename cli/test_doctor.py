"""``cafx doctor``: problems are found, and told with a remedy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cafx.cli import diagnosis
from cafx.cli.diagnosis import NOTE, OK, PROBLEM, SETTINGS, WARNING, Finding

Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[1]
BAD_PLUGINS = """
from importlib import metadata
import sys
class Distribution(metadata.Distribution):
    name = "cafx-bad"
    version = "1.0"
    def read_text(self, filename):
        texts = {
            "METADATA": "Metadata-Version: 2.1\\nName: cafx-bad\\nVersion: 1.0\\n"
                        "Requires-Dist: cafx-kernel>=0.1,<0.2\\n",
            "entry_points.txt": "[cafx.layers]\\nBroken = no_such_module:Layer\\nReLU = cafx_layer_relu:ReLU\\n",
        }
        return texts.get(filename)
    def locate_file(self, path):
        return path
class Finder:
    def find_spec(self, *_): return None
    def find_distributions(self, context=None): return iter([Distribution()])
sys.meta_path.append(Finder())
from cafx.cli.main import main
main()
"""


def of(found: list[Finding] | None = None, **environment: str) -> list[tuple[str, str]]:
    """State and remedy of what is said of threads and settings."""
    found = found or [*diagnosis.spinning(environment), *diagnosis.settings(environment)]
    return [(finding.state, finding.remedy or "") for finding in found]


@pytest.mark.slow
def test_a_sound_installation_has_no_problem(cafx: Run) -> None:
    output = json.loads(cafx("doctor", "--json").stdout)
    subjects = {finding["subject"] for finding in output["findings"]}
    assert output["ok"]
    assert subjects >= {"python", "cafx", "libraries", "engine", "threads", "current folder", "cache", "plugins"}
    engines = [finding["text"] for finding in output["findings"] if finding["subject"] == "engine"]
    assert any(text.startswith("numpy ") and text.endswith("used by default") for text in engines)


@pytest.mark.slow
def test_plugins_that_fail_and_clash_are_problems(folder: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", BAD_PLUGINS, "doctor", "-q"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert any("layer Broken: " in line and "no_such_module" in line for line in lines)
    assert any("'ReLU' is provided by several distributions: " in line and "cafx-bad" in line for line in lines)
    assert done.stdout.splitlines()[-1] == f"{len(lines)} problems"


@pytest.mark.slow
def test_an_unknown_engine_is_a_problem(cafx: Run) -> None:
    output = cafx("doctor", code=1, env=[("CAFX_ENGINE", "onedn")]).stdout
    assert "'onedn' is not installed (CAFX_ENGINE); did you mean 'onednn'?" in output


def test_spinning_threads_are_warned_of() -> None:
    assert of(OMP_WAIT_POLICY="ACTIVE") == [
        (WARNING, "unset OMP_WAIT_POLICY, unless no other program needs these cores")
    ]
    assert [state for state, _ in of(GOMP_SPINCOUNT="30000000000")] == [WARNING]
    assert of(OMP_WAIT_POLICY="passive", KMP_BLOCKTIME="200", GOMP_SPINCOUNT="20000") == []


def test_misspelt_settings_are_warned_of() -> None:
    assert of(CAFX_ENGINE="numpy") == [(NOTE, "")]
    assert of(CAFX_ENGIN="numpy") == [(WARNING, "did you mean 'CAFX_ENGINE'?")]


def test_the_settings_are_those_that_the_sources_read() -> None:
    read: set[str] = set()
    for folder in ("kernel", "dsl", "cli", "plugins", "contrib"):
        for path in (ROOT / folder).rglob("*.py"):
            skipped = {"tests", "build", "applications"} & set(path.parts)
            if not (skipped or path.name.startswith(("test_", "conftest", "diagnosis"))):
                read.update(re.findall(r"[\"'](CAFX_[A-Z_]+)[\"']", path.read_text("utf-8")))
    assert read == set(SETTINGS)


def test_more_threads_than_cores_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_quota", lambda: 1.5)
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert [finding.remedy for finding in diagnosis.threads()][1] == "set OMP_NUM_THREADS=1, or unset it"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert of(list(diagnosis.threads())) == [(OK, "")]


def test_little_memory_and_no_disk_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 1000 kB\n")
    assert [finding.state for finding in diagnosis.memory(tmp_path / "meminfo")] == [WARNING]
    assert list(diagnosis.memory(tmp_path / "none")) == []
    monkeypatch.setenv("CAFX_CACHE", str(tmp_path / "meminfo" / "cache"))
    found = {finding.subject: finding for finding in diagnosis.disks()}
    assert (found["cache"].state, found["cache"].remedy) == (PROBLEM, "set CAFX_CACHE to another folder")


def test_the_time_that_a_container_may_use_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert diagnosis._quota(tmp_path / "cpu.max") == 1.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert diagnosis._quota(tmp_path / "cpu.max") is None


def test_a_stray_file_that_hides_the_namespace_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import cafx

    assert list(diagnosis.namespace()) == []
    monkeypatch.setattr(cafx, "__file__", "/somewhere/cafx/__init__.py")
    assert [finding.state for finding in diagnosis.namespace()] == [PROBLEM]
