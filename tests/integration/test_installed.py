"""cafx as users install it: from wheels, with pip, in an empty environment outside the repository."""

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
ATTEMPTS = 3
"""At building wheels: each fetches the build backend, which may time out."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheels built from the repository and an environment in which they are installed."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    site = tmp_path_factory.mktemp("installed")
    clean = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    build = ["uv", "build", "--all-packages", "--wheel", "--out-dir", str(site / "dist"), "--quiet"]
    attempts = (subprocess.run(build, cwd=ROOT, check=False, env=clean).returncode for _ in range(ATTEMPTS))
    assert 0 in attempts, "the wheels cannot be built"
    venv.create(site / "env", with_pip=True)
    pip(site, "install", "--find-links", str(site / "dist"), "cafx", "cafx-conformance", "scikit-learn")
    return site


def pip(site: Path, *arguments: str) -> None:
    """Run the environment's own pip."""
    command = [str(site / "env/bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, cwd=site)


def cafx(site: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the environment's cafx command."""
    command = [str(site / "env/bin/cafx"), *arguments]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CAFX"))}
    return subprocess.run(command, cwd=cwd or site, capture_output=True, text=True, check=False, env=clean)


def test_every_member_has_a_wheel(site: Path) -> None:
    members = [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("plugins/*/*/pyproject.toml"), ROOT / "pyproject.toml"]
    assert len(list((site / "dist").glob("*.whl"))) >= len(members)


def test_the_digits_example_reaches_its_accuracy(site: Path, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "contrib/examples/digits", tmp_path / "digits", ignore=shutil.ignore_patterns("*_lmdb", "data")
    )
    run = cafx(site, "train", "digits/net.py", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    scores = [float(score) for score in re.findall(r"accuracy\D{0,4}([01]\.\d+)", run.stdout + run.stderr)]
    assert scores, run.stdout + run.stderr
    assert scores[-1] >= 0.98


def test_uninstalling_a_plugin_removes_only_its_layer(site: Path, tmp_path: Path) -> None:
    for name in ("TanH", "Sigmoid"):
        (tmp_path / f"{name}.prototxt").write_text(
            'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'
            f'layer {{ name: "y" type: "{name}" bottom: "x" top: "y" }}\n'
        )
    pip(site, "uninstall", "--yes", "cafx-layer-tanh")
    try:
        missing, present = (cafx(site, "net", str(tmp_path / f"{name}.prototxt")) for name in ("TanH", "Sigmoid"))
    finally:
        pip(site, "install", "--no-index", "--find-links", str(site / "dist"), "cafx-layer-tanh")
    assert missing.returncode == 1
    assert "TanH.prototxt:2: layer 'y'" in missing.stderr
    assert "unknown layer type 'TanH'" in missing.stderr
    assert "cafx-layer-tanh" in missing.stderr
    assert present.returncode == 0, present.stderr


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


def test_a_new_layer_is_created_checked_trained_and_uninstalled(site: Path, tmp_path: Path) -> None:
    created = cafx(site, "new", "layer", "sine", cwd=tmp_path)
    assert created.returncode == 0, created.stderr
    pip(site, "install", "--find-links", str(site / "dist"), str(tmp_path / "cafx-layer-sine"))
    checked = cafx(site, "check", "cafx-layer-sine", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "gradient-bottoms" in checked.stdout
    (tmp_path / "net.py").write_text(NET)
    trained = cafx(site, "train", "net.py", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert list(tmp_path.glob("*_iter_5.caffemodel"))
    pip(site, "uninstall", "--yes", "cafx-layer-sine")
    missing = cafx(site, "train", "net.py", cwd=tmp_path)
    assert missing.returncode == 1
    assert "unknown layer type 'Sine'" in missing.stderr
    assert "cafx-layer-sine" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_the_namespace_package_has_no_init_file(site: Path) -> None:
    code = "import cafx, cafx.kernel, cafx.dsl, cafx.cli; print(getattr(cafx, '__file__', None))"
    run = subprocess.run(
        [str(site / "env/bin/python"), "-c", code], capture_output=True, text=True, check=True, cwd=site
    )
    assert run.stdout.strip() == "None"
