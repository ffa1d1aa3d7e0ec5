"""cafx as users install it: from wheels, with pip, in an empty environment outside the repository."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(make_site: Callable[..., Any]) -> Any:
    """An environment with cafx and its conformance suite; see ``Site`` in conftest.py."""
    return make_site("cafx-conformance", "scikit-learn")


def test_the_tests_of_a_group_run_in_one_process(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid.endswith("@installed")


def test_every_member_has_a_wheel(site: Any) -> None:
    members = [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("plugins/*/*/pyproject.toml"), ROOT / "pyproject.toml"]
    assert len(list(site.wheels.glob("*.whl"))) >= len(members)


def test_the_digits_example_reaches_its_accuracy(site: Any, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "contrib/examples/digits", tmp_path / "digits", ignore=shutil.ignore_patterns("*_lmdb", "data")
    )
    run = site.cafx("train", "digits/net.py", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    scores = [float(score) for score in re.findall(r"accuracy\D{0,4}([01]\.\d+)", run.stdout + run.stderr)]
    assert scores, run.stdout + run.stderr
    assert scores[-1] >= 0.98


def test_uninstalling_a_plugin_removes_only_its_layer(site: Any, tmp_path: Path) -> None:
    for name in ("TanH", "Sigmoid"):
        (tmp_path / f"{name}.prototxt").write_text(
            'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }\n'
            f'layer {{ name: "y" type: "{name}" bottom: "x" top: "y" }}\n'
        )
    site.pip("uninstall", "--yes", "cafx-layer-tanh")
    try:
        missing, present = (site.cafx("net", str(tmp_path / f"{name}.prototxt")) for name in ("TanH", "Sigmoid"))
    finally:
        site.pip("install", "--no-index", "--find-links", str(site.wheels), "cafx-layer-tanh")
    assert missing.returncode == 1
    assert "TanH.prototxt:2: layer 'y'" in missing.stderr
    assert "unknown layer type 'TanH'" in missing.stderr
    assert "cafx_layer_tanh-0.1.0-py3-none-any.whl" in missing.stderr
    assert present.returncode == 0, present.stderr


NET = """
from cafx.dsl import NetSpec, SolverSpec, layers as L

n = NetSpec("ripple")
n.x = L.DummyData(shape=dict(dim=[8, 3]), data_filler=dict(type="gaussian"))
n.t = L.DummyData(shape=dict(dim=[8, 2]), data_filler=dict(type="gaussian"))
n.h = L.Ripple(n.x)
n.y = L.InnerProduct(n.h, num_output=2, weight_filler=dict(type="xavier"))
n.loss = L.EuclideanLoss(n.y, n.t)
solver = SolverSpec(net=n, base_lr=0.01, lr_policy="fixed", max_iter=5, display=1, random_seed=1)
"""


def test_a_new_layer_is_created_checked_trained_and_uninstalled(site: Any, tmp_path: Path) -> None:
    created = site.cafx("new", "layer", "ripple", cwd=tmp_path)
    assert created.returncode == 0, created.stderr
    site.pip("install", "--find-links", str(site.wheels), str(tmp_path / "cafx-layer-ripple"))
    checked = site.cafx("check", "cafx-layer-ripple", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "gradient-bottoms" in checked.stdout
    (tmp_path / "net.py").write_text(NET)
    trained = site.cafx("train", "net.py", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert list(tmp_path.glob("*_iter_5.caffemodel"))
    site.pip("uninstall", "--yes", "cafx-layer-ripple")
    missing = site.cafx("train", "net.py", cwd=tmp_path)
    assert missing.returncode == 1
    assert "unknown layer type 'Ripple'" in missing.stderr
    assert "cafx-layer-ripple" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_the_namespace_package_has_no_init_file(site: Any) -> None:
    code = "import cafx, cafx.kernel, cafx.dsl, cafx.cli; print(getattr(cafx, '__file__', None))"
    run = subprocess.run([str(site.python), "-c", code], capture_output=True, text=True, check=True, cwd=site.folder)
    assert run.stdout.strip() == "None"
