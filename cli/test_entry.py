"""The group of commands: help, errors and exit codes."""

from __future__ import annotations

import doctest
import importlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]

USAGE = 2
PATIENCE = 60
BUILT_IN_COMMANDS = {"train", "test", "time", "net", "device", "emit", "plugins", "new", "check", "completion"}
BUILT_IN_COMMANDS |= {"explain", "doctor"}
BROKEN_PLUGIN = """
from importlib import metadata
import sys
class Distribution(metadata.Distribution):
    name = "cafx-command-broken"
    version = "1.0"
    def read_text(self, filename):
        texts = {
            "METADATA": "Metadata-Version: 2.1\\nName: cafx-command-broken\\n"
                        "Version: 1.0\\nSummary: Broken on purpose.\\n",
            "entry_points.txt": "[cafx.commands]\\nbroken = no_such_module:command\\n",
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


def test_help_lists_every_built_in_command(cafx: Run) -> None:
    listed = {line.split()[0] for line in cafx("--help").stdout.splitlines() if line.startswith("  ")}
    assert listed >= BUILT_IN_COMMANDS


@pytest.mark.parametrize(
    "name",
    ["train", *(pytest.param(each, marks=pytest.mark.slow) for each in sorted(set(BUILT_IN_COMMANDS) - {"train"}))],
)
def test_each_command_has_help_with_debug(cafx: Run, name: str) -> None:
    assert "--debug" in cafx(name, "--help").stdout


@pytest.mark.slow
def test_help_imports_nothing_heavy(environment: dict[str, str]) -> None:
    text = (
        "import sys\nfrom cafx.cli.main import run\n"
        f"for command in [[], *([name] for name in {sorted(BUILT_IN_COMMANDS)})]:\n    run([*command, '--help'])\n"
        "heavy = {'numpy', 'rich', 'cafx.kernel', 'google.protobuf'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "name", ["completing", "examples", "installing", "net", "streams", "tables", "templates.author", "templates.names"]
)
def test_examples_in_docstrings_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"cafx.cli.{name}"))
    assert (results.failed, results.attempted > 0) == (0, True)


def test_version(cafx: Run) -> None:
    assert cafx("--version").stdout.startswith("cafx, version 0.")


@pytest.mark.slow
def test_an_unknown_command_is_a_usage_error_with_a_suggestion(cafx: Run) -> None:
    assert "train" in cafx("trian", code=USAGE).stderr


@pytest.mark.slow
def test_the_error_for_a_missing_file_is_one_line(cafx: Run) -> None:
    done = cafx("train", "--solver", "nowhere.prototxt", code=1)
    assert done.stderr.startswith("error: nowhere.prototxt: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_debug_shows_the_traceback(start: Start) -> None:
    for arguments in (["--debug", "net", "nowhere.prototxt"], ["net", "nowhere.prototxt", "--debug"]):
        process = start(*arguments)
        error = process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 1
        assert "Traceback" in error
        assert error.splitlines()[-1].startswith("error: ")


def test_an_unexpected_exception_is_reported_as_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cafx.cli import main

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("cafx.cli.completion.get_completion_class", fail)
    assert main.run(["completion", "bash"]) == 1
    error = capsys.readouterr().err
    assert error == "error: ZeroDivisionError: by zero (this is a bug; --debug shows where) [E-bug]\n"


@pytest.mark.parametrize("shell", ["bash", *(pytest.param(each, marks=pytest.mark.slow) for each in ("zsh", "fish"))])
def test_completion_scripts(cafx: Run, shell: str) -> None:
    assert "_CAFX_COMPLETE" in cafx("completion", shell).stdout


def completed(folder: Path, environment: dict[str, str], *words: str) -> list[str]:
    """What bash completes, with the script that ``cafx completion bash`` prints."""
    script = "source <(cafx completion bash)\n" + 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cafx_completion cafx'
    script += '\nprintf "%s\\n" "${COMPREPLY[@]}"'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["bash", "-c", script, "bash", "cafx", *words]
    run = subprocess.run(
        command, cwd=folder, env={**environment, "PATH": path}, capture_output=True, text=True, check=True
    )
    return run.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "--set", "base_l"], ["base_lr="]),
        pytest.param(["train", "--set", "lr_policy", "=", "st"], ["step"], marks=pytest.mark.slow),
        pytest.param(["train", "--set", "snapshot_format", "="], ["HDF5", "BINARYPROTO"], marks=pytest.mark.slow),
        pytest.param(["train", "-e", "nu"], ["numpy"], marks=pytest.mark.slow),
        pytest.param(["train", "--monitor", "prog"], ["progress"], marks=pytest.mark.slow),
        pytest.param(["train", "--resume", "au"], ["auto"], marks=pytest.mark.slow),
        pytest.param(["plugins", "show", "InnerPr"], ["InnerProduct"], marks=pytest.mark.slow),
    ],
)
def test_bash_completes_plugins_and_fields(
    folder: Path, environment: dict[str, str], words: list[str], expected: list[str]
) -> None:
    assert completed(folder, environment, *words) == expected


@pytest.mark.slow
def test_zsh_and_fish_complete_a_value_as_one_word(cafx: Run) -> None:
    for shell in ("zsh", "fish"):
        word = "lr_policy=st"
        env = [("_CAFX_COMPLETE", f"{shell}_complete"), ("COMP_WORDS", f"cafx train --set {word}")]
        output = cafx(env=[*env, ("COMP_CWORD", word if shell == "fish" else "3")]).stdout
        assert "lr_policy=step\n" in output.replace(",", "\n") + "\n"
        assert "fixed" not in output


def test_the_script_for_zsh_adds_no_space_after_an_equals_sign(cafx: Run) -> None:
    script = cafx("completion", "zsh").stdout
    assert "local -a no_space" in script
    assert 'compadd -U "${no_space[@]}" -V unsorted' in script


@pytest.mark.slow
def test_completion_completes(cafx: Run) -> None:
    words = [("_CAFX_COMPLETE", "bash_complete"), ("COMP_WORDS", "cafx tr"), ("COMP_CWORD", "1")]
    assert "train" in cafx(env=words).stdout


@pytest.mark.slow
def test_a_broken_plugin_affects_only_its_own_command(folder: Path, environment: dict[str, str]) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", BROKEN_PLUGIN, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    listed = run("--help")
    assert listed.returncode == 0
    assert "Broken on purpose." in listed.stdout
    used = run("broken")
    assert used.returncode == 1
    assert "cafx-command-broken" in used.stderr
    assert "Traceback" not in used.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs POSIX signals")
def test_ctrl_c_outside_training_exits_with_130(start: Start) -> None:
    process = start("time", "net.prototxt", "--iterations", "100000000")
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert error.strip() == "interrupted"
