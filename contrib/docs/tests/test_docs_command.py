"""``cafx-docs`` as its users run it."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

RUN = [sys.executable, "-c", "from cafx_docs.main import main; main()"]


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*RUN, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize("command", ["build", "check", "serve"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example:\n  cafx-docs {command} " in run(command, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("build", "--pages"), "no documentation"),
        (("check", "--no-site", "--pages"), "no documentation"),
        (("serve", "--out"), "the site is not built; run: cafx-docs build"),
    ],
)
def test_a_folder_with_nothing_in_it_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments, str(tmp_path), code=1)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_check_runs_the_examples_and_names_the_page_that_fails(tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text("# Pages\n\n```python\n>>> 1 + 1\n2\n```\n", "utf-8")
    assert "1 examples in 1 pages pass" in run("check", "--no-site", "--pages", str(tmp_path)).stdout
    (tmp_path / "wrong.md").write_text("# Wrong\n\n```python\n>>> 1 + 1\n3\n```\n", "utf-8")
    done = run("check", "--no-site", "--pages", str(tmp_path), code=1)
    assert done.stderr.rstrip().endswith("error: wrong.md: examples fail")
    assert "line 4" in done.stderr


def test_the_preview_serves_this_machine_until_ctrl_c(tmp_path: Path) -> None:
    site = tmp_path / "html"
    site.mkdir()
    (site / "index.html").write_text("<h1>Here</h1>", "utf-8")
    command = [*RUN, "serve", "--out", str(tmp_path), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        assert urllib.request.urlopen(address, timeout=30).read() == b"<h1>Here</h1>"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, said.strip()) == (130, "interrupted")
