"""cafx as a stranger gets it: wheels, plain pip, an empty environment outside the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]
ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with cafx in it, installed from wheels built here, and nothing of the repository."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    place = tmp_path_factory.mktemp("installed")
    clean = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    build = ["uv", "build", "--all-packages", "--wheel", "--out-dir", str(place / "dist"), "--quiet"]
    subprocess.run(build, cwd=ROOT, check=True, env=clean)
    venv.create(place / "env", with_pip=True)
    pip(place, "install", "--find-links", str(place / "dist"), "cafx", "cafx-conformance", "scikit-learn")
    return place


def pip(place: Path, *arguments: str) -> None:
    """Run the environment's own pip."""
    command = [str(place / "env/bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, cwd=place)


def cafx(place: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the environment's cafx command."""
    command = [str(place / "env/bin/cafx"), *arguments]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CAFX"))}
    return subprocess.run(command, cwd=cwd or place, capture_output=True, text=True, check=False, env=clean)


def test_every_member_has_a_wheel(place: Path) -> None:
    members = [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("plugins/*/*/pyproject.toml"), ROOT / "pyproject.toml"]
    assert len(list((place / "dist").glob("*.whl"))) >= len(members)


def test_the_digits_example_trains_to_its_promise(place: Path, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "contrib/examples/digits", tmp_path / "digits", ignore=shutil.ignore_patterns("*_lmdb", "data")
    )
    run = cafx(place, "train", "digits/net.py", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    scores = [float(score) for score in re.findall(r"accuracy\D{0,4}([01]\.\d+)", run.stdout + run.stderr)]
    assert scores, run.stdout + run.stderr
    assert scores[-1] >= 0.98


def test_leaving_one_plugin_out_takes_away_just_that_layer(place: Path, tmp_path: Path) -> None:
    for name in ("TanH", "Sigmoid"):
        (tmp_path / f"{name}.prototxt").write_text(
            'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'
            f'layer {{ name: "y" type: "{name}" bottom: "x" top: "y" }}\n'
        )
    pip(place, "uninstall", "--yes", "cafx-layer-tanh")
    try:
        gone, there = (cafx(place, "net", str(tmp_path / f"{name}.prototxt")) for name in ("TanH", "Sigmoid"))
    finally:
        pip(place, "install", "--no-index", "--find-links", str(place / "dist"), "cafx-layer-tanh")
    assert gone.returncode == 1
    assert "TanH.prototxt:2: layer 'y'" in gone.stderr
    assert "unknown layer type 'TanH': no installed plugin provides it" in gone.stderr
    assert "pip install cafx-layer-tanh" in gone.stderr
    assert there.returncode == 0, there.stderr


NET = """
from cafx.dsl import NetSpec, SolverSpec, layers as L

n = NetSpec("sine")
n.x = L.DummyData(shape=dict(dim=[8, 3]), data_filler=dict(type="gaussian"))
n.t = L.DummyData(shape=dict(dim=[8, 2]), data_filler=dict(type="gaussian"))
n.h = L.Sine(n.x)
n.y = L.InnerProduct(n.h, num_output=2, weight_filler=dict(type="xavier"))
n.loss = L.EuclideanLoss(n.y, n.t)
solver = SolverSpec(net=n, base_lr=0.01, lr_policy="fixed", max_iter=5, display=1, random_seed=1)
"""


def test_a_newcomer_s_walk(place: Path, tmp_path: Path) -> None:
    """From nothing to a layer of one's own that trains, and back."""
    written = cafx(place, "new", "layer", "sine", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    pip(place, "install", "--find-links", str(place / "dist"), str(tmp_path / "cafx-layer-sine"))
    checked = cafx(place, "check", "cafx-layer-sine", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "gradient-bottoms" in checked.stdout
    (tmp_path / "net.py").write_text(NET)
    trained = cafx(place, "train", "net.py", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert list(tmp_path.glob("*_iter_5.caffemodel"))
    pip(place, "uninstall", "--yes", "cafx-layer-sine")
    gone = cafx(place, "train", "net.py", cwd=tmp_path)
    assert gone.returncode == 1
    assert "unknown layer type 'Sine'" in gone.stderr
    assert "pip install cafx-layer-sine" in gone.stderr
    assert "Traceback" not in gone.stderr


def test_the_namespace_is_shared_by_all(place: Path) -> None:
    code = "import cafx, cafx.kernel, cafx.dsl, cafx.cli; print(getattr(cafx, '__file__', None))"
    run = subprocess.run(
        [str(place / "env/bin/python"), "-c", code], capture_output=True, text=True, check=True, cwd=place
    )
    assert run.stdout.strip() == "None"
