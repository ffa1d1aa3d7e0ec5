"""What cafx is installed with, and what it says about what is not: the base, its extras, platforms, advice."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
MEMBERS = runpy.run_path(str(ROOT / ".ci/members.py"))
PROJECTS: dict[str, dict[str, Any]] = {
    project["name"]: project
    for path in MEMBERS["pyprojects"]()
    for project in [tomllib.loads(path.read_text("utf-8"))["project"]]
}
HEAVY = {
    "images": {"opencv-contrib-python-headless", "simplejpeg"},
    "plots": {"matplotlib"},
    "tensorboard": {"tensorboardX"},
    "cuda": {"cupy-cuda13x", "nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cuda-nvrtc"},
    "mpi": {"mpi4py"},
    "ray": {"ray"},
    "onnx": {"onnx"},
    "serve": {"starlette", "uvicorn"},
    "docs": {"sphinx"},
    "hub": {"huggingface-hub"},
}
BASE = {"numpy", "protobuf", "click", "rich", "h5py", "lmdb", "plyvel", "onednn-cpu-gomp", "llvmlite"}
PLATFORMS = {
    "Linux on x86-64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "Linux on aarch64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    "macOS": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
    "Windows": {"sys_platform": "win32", "platform_system": "Windows", "platform_machine": "AMD64"},
}
ADVICE = re.compile(r"(?:pip3? install|uv add|uv tool install)[^\n`&;]*?[\s'\"]cafx[\w-]*(?=[\s\['\"`]|$)")
HIDE = "import sys\nfor name in {names}:\n    sys.modules[name] = None\n"
PICTURE, PICTURE_BYTES, README_LINES = ROOT / ".github/terminal.svg", 60_000, 110


def needed(names: list[str], environment: dict[str, str]) -> set[str]:
    """The third-party distributions that these need in an environment, with all that they need of cafx."""
    found: set[str] = set()
    seen: set[str] = set()
    left = [Requirement(name) for name in names]
    while left:
        wanted = left.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        project = PROJECTS.get(wanted.name)
        if project is None:
            found.add(wanted.name)
            continue
        optional = [each for extra in wanted.extras for each in project["optional-dependencies"][extra]]
        inner = map(Requirement, [*project.get("dependencies", ()), *optional])
        left += [each for each in inner if each.marker is None or each.marker.evaluate(environment)]
    return found


def environment_of(platform: str, python: str) -> dict[str, str]:
    """The markers' environment of a platform."""
    return {**PLATFORMS[platform], "python_version": python, "python_full_version": f"{python}.0"}


LINUX = environment_of("Linux on x86-64", "3.11")


def test_the_base_needs_what_all_nets_need() -> None:
    base = needed(["cafx"], LINUX)
    assert base >= BASE
    assert not base & {name for names in HEAVY.values() for name in names}


@pytest.mark.parametrize("extra", HEAVY)
def test_an_extra_adds_what_it_is_named_after(extra: str) -> None:
    assert needed([f"cafx[{extra}]"], LINUX) >= HEAVY[extra]
    assert needed(["cafx[all]"], LINUX) >= HEAVY[extra]


def test_the_command_comes_with_cafx_itself_so_that_it_can_be_a_tool() -> None:
    assert PROJECTS["cafx"]["scripts"] == PROJECTS["cafx-cli"]["scripts"] == {"cafx": "cafx.cli.main:main"}


@pytest.mark.slow
@pytest.mark.parametrize("python", MEMBERS["PYTHONS"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_has_no_wheel_for_a_platform_is_not_needed_there(platform: str, python: str) -> None:
    there, linux = needed(["cafx"], environment_of(platform, python)), needed(["cafx"], LINUX)
    missing = linux - there
    if platform != "Linux on x86-64":
        assert missing == {"onednn-cpu-gomp", "llvmlite", "plyvel"}
    else:
        assert missing == ({"plyvel"} if python in ("3.13", "3.14") else set())


@pytest.mark.parametrize("path", MEMBERS["pyprojects"](), ids=lambda path: path.parent.name)
def test_a_distribution_says_which_pythons_it_runs_on(path: Path) -> None:
    text = path.read_text("utf-8")
    assert MEMBERS["classified"](text) == text, "run: python .ci/members.py"
    stated = tomllib.loads(text)["project"]["classifiers"]
    assert stated == [f"Programming Language :: Python :: {version}" for version in ("3.11", "3.12", "3.13", "3.14")]


def sources() -> Iterator[Path]:
    """Programs and pages that may tell what to install."""
    for folder in ("kernel", "cli", "dsl", "plugins", "contrib", "tests/cafx"):
        for path in (ROOT / folder).rglob("*"):
            if (
                path.suffix in (".py", ".md", ".tmpl")
                and not path.name.startswith("test_")
                and "build" not in path.parts
            ):
                yield path
    yield from ROOT.glob("*.md")


def test_no_advice_names_a_distribution_that_nobody_vouches_for() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in sources()
        for match in ADVICE.finditer(path.read_text("utf-8"))
        if "is not this project" not in path.read_text("utf-8")[match.end() : match.end() + 40]
    }
    assert found == set()


@pytest.mark.parametrize("text", ["pip install cafx", "uv pip install 'cafx[images]'", "pip install -U cafx-layer-foo"])
def test_advice_is_recognised(text: str) -> None:
    assert ADVICE.search(f"run: {text}")


@pytest.mark.parametrize(
    "text",
    ["uv pip install -e /c/cafx", "pip install /w/cafx-0.1.0-py3-none-any.whl", "pip install -e ./cafx-layer-foo"],
)
def test_a_path_is_no_such_advice(text: str) -> None:
    assert not ADVICE.search(text)


def hidden(folder: Path, *names: str) -> tuple[str, str]:
    """The variable with which a program finds none of these modules."""
    (folder / "sitecustomize.py").write_text(HIDE.format(names=names))
    return "PYTHONPATH", str(folder)


def cafx(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "cafx.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_without_opencv_a_command_names_the_extra_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(b"BM" + bytes(100))
    (tmp_path / "list.txt").write_text("a.bmp 0\n")
    env = dict([hidden(tmp_path, "cv2", "simplejpeg")])
    for line in ("convert-imageset . list.txt db", "resize-images . out --size 4x4"):
        run = cafx(*line.split(), cwd=tmp_path, env=env)
        assert run.returncode == 1, line
        assert len(run.stderr.splitlines()) == 1, run.stderr
        assert "cafx[images]" in run.stderr
        assert re.search(r"install it with: .*feed\S*\[images\]", run.stderr), run.stderr
    assert not (tmp_path / "db").exists()
    assert not list((tmp_path / "out").glob("*.bmp"))


@pytest.mark.slow
def test_without_matplotlib_plot_names_the_extra(tmp_path: Path) -> None:
    line = '{"event": "iteration", "iteration": 0, "loss": 1.0}\n'
    (tmp_path / "log").write_text("I0101 00:00:00.000000 1 solver.cpp:239] Iteration 0, loss = 1\n" + line)
    run = cafx("plot", "log", cwd=tmp_path, env=dict([hidden(tmp_path, "matplotlib")]))
    assert run.returncode == 1
    assert "cafx[plots]" in run.stderr, run.stderr
    assert not list(tmp_path.glob("*.png"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits example in a folder of its own."""
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("digits")
    for path in (ROOT / "contrib/examples/digits").glob("*.py"):
        shutil.copy(path, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("also", [(), ("llvmlite", "cv2", "simplejpeg", "plyvel", "matplotlib")], ids=["llvm", "numpy"])
def test_where_onednn_has_no_wheel_digits_are_trained(digits: Path, tmp_path: Path, also: tuple[str, ...]) -> None:
    name, folder = hidden(tmp_path, *also)
    with (tmp_path / "sitecustomize.py").open("a") as file:
        file.write(HIDE_ONEDNN)
    settings = ("max_iter=200", "test_interval=200", "snapshot=0")
    overrides = [word for each in settings for word in ("--set", each)]
    run = cafx("train", "net.py", *overrides, cwd=digits, env={name: folder, "CAFX_ENGINE": ""})
    assert run.returncode == 0, run.stderr
    assert "engine numpy" in run.stdout + run.stderr
    scores = re.findall(r"iteration 200  test: accuracy ([01]\.\d+)", run.stdout + run.stderr)
    assert float(scores[-1]) > 0.9, run.stdout + run.stderr


HIDE_ONEDNN = """
import ctypes
from importlib import metadata
real, files = ctypes.CDLL.__init__, metadata.files
def refuse(self, name, *arguments, **options):
    if "dnnl" in str(name):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")
    real(self, name, *arguments, **options)
ctypes.CDLL.__init__ = refuse
"""


def test_the_readme_is_one_screen_whose_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= README_LINES
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
    for command in ("uv run cafx train contrib/examples/digits/net.py", "uv run pytest"):
        assert f"\n    pip install uv && {command}\n" in text


def test_the_picture_of_a_terminal_is_small_whole_and_loads_nothing() -> None:
    content = PICTURE.read_bytes()
    assert len(content) < PICTURE_BYTES
    words = "".join(ElementTree.fromstring(content).itertext()).replace("\N{NO-BREAK SPACE}", " ")
    assert "cafx train digits/net.py" in words
    assert float(re.findall(r"iteration 2000  test: accuracy ([01]\.\d+)", words)[0]) > 0.98
    assert not re.search(rb"(?:href|src|url\()\s*=?\s*[\"']?http", content)
