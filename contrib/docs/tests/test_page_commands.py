"""The commands that the pages show exist, and the pages are in the contents of their folder."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cafx_docs.command_lines import command_lines, wrong_commands
from cafx_docs.examples import fences

PAGES = Path(__file__).resolve().parents[1] / "pages"
FOLDERS = ("tutorial", "guide", "recipes", "help")
ALL = sorted(page for folder in FOLDERS for page in (PAGES / folder).glob("*.md"))
MOST_LINES = 260


@pytest.mark.parametrize("page", ALL, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_a_page_s_commands_exist(page: Path) -> None:
    failures = wrong_commands(page)
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("page", ALL, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_a_page_is_short(page: Path) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_page_is_in_the_contents_of_its_folder(folder: str) -> None:
    index = (PAGES / folder / "index.md").read_text("utf-8").splitlines()
    assert [page.stem for page in (PAGES / folder).glob("*.md") if page.stem not in [*index, "index"]] == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cafx tarin net.py", "no command"),
        ("cafx train --solvr s.prototxt", "--solvr"),
        ("cafx db inspect --nothing db", "--nothing"),
        ("caffe train -solvre s.prototxt", "solvre"),
        ("ls && cafx net --nowhere x", "--nowhere"),
    ],
)
def test_a_command_that_does_not_exist_is_found(tmp_path: Path, line: str, reason: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```console\n$ {line}\n```\n", "utf-8")
    assert reason in wrong_commands(page)[0]


def test_a_command_in_the_text_is_checked_too(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\nUse `cafx trian net.py`.\n", "utf-8")
    assert ":3:" in wrong_commands(page)[0]


def test_from_caffe_lists_every_flag_and_every_name_of_pycaffe() -> None:
    caffe = pytest.importorskip("caffe")
    from caffe.commands import entry

    page = (PAGES / "guide" / "from-caffe.md").read_text("utf-8")
    programs = {
        name: getattr(importlib.import_module(f"caffe.commands.{module}"), name)
        for module, names in entry.MODULES.items()
        for name in names
    }
    assert [name for name in programs if name not in page] == []
    flags = {option.name for program in programs.values() for option in program.params if _is_shown(option)}
    assert sorted(flag for flag in flags if f"-{flag}" not in page) == []
    names = [name for name in caffe.__all__ if not name.startswith("_") and name != "CafxError"]
    assert [name for name in names if f"caffe.{name}" not in page] == []


def _is_shown(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.hidden and parameter.name != "help"


def test_every_name_of_pycaffe_in_the_pages_exists() -> None:
    caffe = pytest.importorskip("caffe")
    matlab = "matlab.md"  # names of matcaffe, which its own tests run
    pages = [page for page in ALL if page.name != matlab]
    used = {name for page in pages for name in re.findall(r"`caffe\.([A-Za-z_]\w*)", page.read_text("utf-8"))}
    assert sorted(name for name in used if not hasattr(caffe, name) and name != "proto") == []


def test_troubleshooting_lists_every_id_of_explain_and_no_other() -> None:
    explanations = pytest.importorskip("cafx.cli.explanations")
    page = (PAGES / "help" / "troubleshooting.md").read_text("utf-8")
    assert set(re.findall(r"\bE-[a-z0-9-]+", page)) == set(explanations.pages())


@pytest.mark.slow
def test_the_commands_of_the_guide_to_nets_in_python_run(tmp_path: Path) -> None:
    page = (PAGES / "guide" / "dsl.md").read_text("utf-8")
    for fence in fences(page):
        if fence.file:
            (tmp_path / fence.file).write_text(fence.text, "utf-8")
    commands = [line for line in command_lines(page) if line.startswith("cafx ")]
    assert len(commands) == 3
    for command in commands:
        words = [sys.executable, "-m", "cafx.cli", *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert "net_param" in (tmp_path / "solver.prototxt").read_text("utf-8")
