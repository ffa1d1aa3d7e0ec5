"""cafx from wheels: how much the base is, on each Python of this machine, and in a container's steps."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]
ROOT = Path(__file__).resolve().parents[2]
CONTAINERFILE = ROOT / "contrib/container/Containerfile"
OLDEST, BASE_BYTES = (3, 11), 450_000_000
NET = """
from cafx.dsl import NetSpec, SolverSpec, layers as L

n = NetSpec("small")
n.x, n.y = L.DummyData(shape=[dict(dim=[4, 1, 6, 6]), dict(dim=[4])], ntop=2)
n.c = L.Convolution(n.x, num_output=3, kernel_size=3, weight_filler=dict(type="xavier"))
n.i = L.InnerProduct(n.c, num_output=2, weight_filler=dict(type="xavier"))
n.loss = L.SoftmaxWithLoss(n.i, n.y)
solver = SolverSpec(net=n, base_lr=0.1, lr_policy="fixed", max_iter=3)
"""


def run(*command: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the variables that steer Python and cafx; it must succeed."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CAFX", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env={**clean, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture
def install(wheels: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A function that makes an environment for a Python, installs cafx there as README says, and returns its folder."""

    def make(python: str) -> Path:
        place = tmp_path / "env"
        (cafx,) = wheels.glob("cafx-[0-9]*.whl")
        run("uv", "venv", "--quiet", "--python", python, str(place), cwd=tmp_path)
        index = ("--index", str(wheels / "simple"))
        run("uv", "pip", "install", "--quiet", *index, str(cafx), cwd=tmp_path, VIRTUAL_ENV=str(place))
        return place

    return make


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder, each counted once."""
    return sum({each.stat().st_ino: each.stat().st_size for each in folder.rglob("*") if each.is_file()}.values())


def test_the_index_of_the_wheels_has_each_of_them(wheels: Path) -> None:
    files = {path.name for path in wheels.glob("*.whl")}
    linked = {
        name for page in wheels.glob("simple/*/index.html") for name in re.findall(r'/([^/"]+)"', page.read_text())
    }
    assert linked == files
    assert {path.parent.name for path in wheels.glob("simple/*/index.html")} >= {"cafx", "cafx-layer-relu"}


def test_the_base_is_small_and_the_line_that_it_tells_adds_images(
    install: Callable[[str], Path], tmp_path: Path
) -> None:
    place = install(sys.executable)
    assert size_of(place) <= BASE_BYTES
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3)))
    (tmp_path / "list.txt").write_text("a.png 0\n")
    convert = [str(place / "bin/cafx"), "convert-imageset", ".", "list.txt", "db"]
    refused = subprocess.run(convert, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    told = re.search(r"install it with: (.+?)(?: \[E-[\w-]+\])?\n", refused.stderr)
    assert told, refused.stderr
    run(*shlex.split(told[1]), cwd=tmp_path)
    assert "1 images written" in run(*convert, cwd=tmp_path).stdout
    unknown = subprocess.run(
        [str(place / "bin/cafx"), "onnx"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert re.search(r"'onnx'. Install it with: .*/cafx_command_onnx-0.1.0-py3-none-any.whl ", unknown.stderr)


def interpreters() -> list[str]:
    """An interpreter of each other Python that cafx runs on, as far as this machine has them."""
    found: dict[tuple[int, ...], str] = {}
    pyenv = sorted(Path("~/.pyenv/versions").expanduser().glob("3.*/bin/python3"))
    named = [shutil.which(f"python3.{minor}") for minor in range(OLDEST[1], 30)]
    for each in [*map(str, pyenv), *filter(None, named)]:
        code = "import sys; print(*sys.version_info[:2])"
        asked = subprocess.run([each, "-c", code], capture_output=True, text=True, check=False)
        version = tuple(map(int, asked.stdout.split())) if asked.returncode == 0 else ()
        if version >= OLDEST and version != sys.version_info[:2]:
            found.setdefault(version, each)
    return [found[version] for version in sorted(found)]


@pytest.mark.parametrize("python", interpreters())
def test_each_other_python_of_this_machine_installs_the_wheels_and_trains(
    install: Callable[[str], Path], tmp_path: Path, python: str
) -> None:
    place = install(python)
    (tmp_path / "net.py").write_text(NET)
    run(str(place / "bin/cafx"), "train", "net.py", cwd=tmp_path)
    assert list(tmp_path.glob("*_iter_3.caffemodel"))


def steps(stage: str) -> list[str]:
    """The RUN steps of a stage of the Containerfile, as shell commands."""
    text = CONTAINERFILE.read_text("utf-8").replace("\\\n", " ")
    (body,) = re.findall(rf"(?ms)^FROM \S+ AS {stage}\n(.*?)(?=^FROM |\Z)", text)
    return re.findall(r"(?m)^RUN (.+)$", body)


def test_the_steps_of_the_containers_run(wheels: Path, tmp_path: Path) -> None:
    settings = {"CAFX_SOURCE": str(ROOT), "CAFX_WHEELS": str(wheels), "CAFX_HOME": str(tmp_path / "home")}
    pip, build, *others = steps("build")
    assert pip.startswith("python3 -m pip install ")
    assert build == 'bash "$CAFX_SOURCE/.ci/wheels" "$CAFX_WHEELS"'  # what the fixture has run
    assert len(others) == 2
    for step in others:
        shown = run("sh", "-c", step, cwd=tmp_path, **settings)
    assert "onednn" in shown.stdout
    (cuda,) = steps("build-cuda")
    planned = run("sh", "-c", cuda.replace("uv pip install", "uv pip install --dry-run"), cwd=tmp_path, **settings)
    for name in (
        "cafx-engine-cudnn",
        "cafx-engine-cupy",
        "cafx-communicator-nccl",
        "cupy-cuda13x",
        "nvidia-cudnn-cu13",
    ):
        assert name in planned.stderr, planned.stderr


def test_the_stages_of_the_containers_end_in_cafx() -> None:
    text = CONTAINERFILE.read_text("utf-8")
    for stage in ("cpu", "cuda"):
        (body,) = re.findall(rf"(?ms)^FROM \S+ AS {stage}\n(.*?)(?=^FROM |\Z)", text)
        assert 'ENTRYPOINT ["cafx"]' in body
        assert "USER 1000" in body
        built = re.findall(r"--from=(\S+) /opt/cafx /opt/cafx", body)
        assert built == ["build" if stage == "cpu" else "build-cuda"]
