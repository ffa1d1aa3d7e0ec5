"""``cafx plugins``, ``new`` and ``check``."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

API = "Requires-Dist: cafx-kernel>=0.1,<0.2"

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_list_names_distributions_and_versions(cafx: Run) -> None:
    rows = json.loads(cafx("plugins", "list", "--json").stdout)
    relu = next(row for row in rows if row["name"] == "ReLU")
    assert (relu["kind"], relu["distribution"], relu["error"]) == ("layer", "cafx-layer-relu", None)
    assert relu["version"]
    assert "cafx-solver-sgd" in cafx("plugins").stdout


def test_an_unknown_kind_has_a_suggestion(cafx: Run) -> None:
    assert "did you mean 'layer'" in cafx("plugins", "list", "--kind", "layr", code=1).stderr


def test_a_plugin_is_described(cafx: Run) -> None:
    text = cafx("plugins", "show", "InnerProduct").stdout
    assert "Y = X Wᵀ + b" in text
    assert "| `num_output` | uint32 |" in text
    assert 'type: "InnerProduct"' in text
    assert "L.InnerProduct(" in text
    assert json.loads(cafx("plugins", "show", "relu", "--json").stdout)["facts"]["in_place"] is True


def test_an_unknown_plugin_has_a_suggestion(cafx: Run) -> None:
    assert "'ReLU'" in cafx("plugins", "show", "ReLUU", code=1).stderr


@pytest.mark.slow
def test_the_catalogue_links_every_layer(cafx: Run, folder: Path) -> None:
    cafx("plugins", "catalogue", "--out", "docs")
    index = (folder / "docs" / "index.md").read_text()
    assert "[ReLU](layer/relu.md)" in index
    for page in (folder / "docs").glob("*/*.md"):
        assert f"({page.parent.name}/{page.name})" in index


@pytest.mark.parametrize(
    ("name", "short", "type_name"),
    [("gentle-wave", "gentlewave", "GentleWave"), ("GentleWave", "gentlewave", "GentleWave")],
)
def test_a_new_layer_is_a_complete_plugin(cafx: Run, folder: Path, name: str, short: str, type_name: str) -> None:
    cafx("new", "layer", name)
    plugin = folder / f"cafx-layer-{short}"
    names = {path.name for path in plugin.iterdir()}
    assert names == {"pyproject.toml", f"cafx_layer_{short}.py", f"test_{short}.py", "README.md"}
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["cafx.layers"] == {type_name: f"cafx_layer_{short}:{type_name}"}
    for path in plugin.glob("*.py"):
        ast.parse(path.read_text())
    assert "$" not in "".join(path.read_text() for path in plugin.iterdir())
    assert "already exists" in cafx("new", "layer", name, code=1).stderr


@pytest.mark.slow
def test_a_new_layer_computes_and_differentiates(cafx: Run, folder: Path, environment: dict[str, str]) -> None:
    cafx("new", "layer", "wavy")
    text = (
        "import sys; sys.path.insert(0, 'cafx-layer-wavy')\n"
        "import numpy as np\n"
        "from cafx.kernel import Net, registry, schema\n"
        "from cafx_layer_wavy import Wavy\n"
        "registry().add('layer', 'Wavy', Wavy)\n"
        'net = schema().parse_text(\'force_backward: true layer { name: "x" type: "Input" top: "x" '
        'input_param { shape { dim: 3 } } } layer { name: "y" type: "Wavy" bottom: "x" top: "y" '
        "wavy_param { frequency: 2 } }', 'NetParameter')\n"
        "net, x = Net(net), np.array([0.1, 0.2, 0.3])\n"
        "np.testing.assert_allclose(net.forward(x=x)['y'], np.sin(2 * x), rtol=1e-6)\n"
        "np.testing.assert_allclose(net.backward(y=np.ones(3))['x'], 2 * np.cos(2 * x), rtol=1e-6)\n"
    )
    subprocess.run([sys.executable, "-c", text], cwd=folder, env=environment, check=True)


@pytest.mark.parametrize("name", ["9lives", "a b", "../up", "ReLU"])
def test_invalid_and_taken_names_are_refused(cafx: Run, folder: Path, name: str) -> None:
    before = sorted(folder.iterdir())
    cafx("new", "layer", name, code=1)
    assert sorted(folder.iterdir()) == before


@pytest.mark.slow
def test_a_plugin_is_checked(cafx: Run) -> None:
    pytest.importorskip("cafx.conformance.report")
    output = json.loads(cafx("check", "cafx-layer-relu", "--json").stdout)
    assert output["ok"] is True
    assert {row["outcome"] for row in output["rows"]} <= {"pass", "not applicable", "known failure"}
    assert "cafx-layer-nope" in cafx("check", "cafx-layer-nope", code=1).stderr


@pytest.mark.slow
def test_a_name_that_two_distributions_claim_is_listed_twice(folder: Path, environment: dict[str, str]) -> None:
    for owner in ("one", "other"):
        info = folder / f"cafx_layer_{owner}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: cafx-layer-{owner}\nVersion: 1.0\n{API}\n")
        (info / "entry_points.txt").write_text("[cafx.layers]\nTwice = cafx.kernel.net:NeuronLayer\n")
    result = subprocess.run(
        [sys.executable, "-m", "cafx.cli", "plugins", "list", "--kind", "layer", "--broken", "--json"],
        env={**environment, "PYTHONPATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
    )
    rows = [row for row in json.loads(result.stdout) if row["name"] == "Twice"]
    assert len(rows) == 2
    assert all("cafx-layer-one and cafx-layer-other" in row["error"] for row in rows)


@pytest.mark.slow
def test_eighty_columns_break_no_name_of_the_list(narrow: Callable[..., str]) -> None:
    output = narrow("plugins", "list")
    for plugin in ("SigmoidCrossEntropyLoss ", "cafx-loss-sigmoidcrossentropyloss ", "engine.onednn "):
        assert plugin in output
    assert "``" not in output


@pytest.mark.slow
def test_eighty_columns_break_no_name_of_the_checklist(narrow: Callable[..., str]) -> None:
    pytest.importorskip("cafx.conformance.report")
    output = narrow("check", "cafx-filler-xavier")
    assert "│ loads │ the plugin can be imported and has a docstring " in output
    assert "plugin ┃" not in output
    assert "detail" not in output


@pytest.mark.slow
def test_plugins_whose_import_does_not_end_are_found(folder: Path, environment: dict[str, str]) -> None:
    contents = {
        "hanging": "import time\ntime.sleep(1000)\n",
        "ending": "import os\nos._exit(0)\n",
        "exiting": "raise SystemExit\n",
    }
    for name, content in contents.items():
        info = folder / f"cafx_layer_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: cafx-layer-{name}\nVersion: 1.0\nRequires-Dist: cafx-kernel>=0.1,<0.2\n"
        )
        (info / "entry_points.txt").write_text(f"[cafx.layers]\n{name} = a_module_that_is_{name}:Layer\n")
        (folder / f"a_module_that_is_{name}.py").write_text(content)
    arguments = ["--timeout", "4", "list", "--kind", "layer", "--broken", "--json", "--timeout", "4"]
    result = subprocess.run(
        [sys.executable, "-m", "cafx.cli", "plugins", *arguments],
        env={**environment, "PYTHONPATH": str(folder)},
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    errors = {row["name"]: row["error"] for row in json.loads(result.stdout)}
    assert "of cafx-layer-hanging 1.0: its import has not ended after 4 s; remove it" in errors["hanging"]
    assert "its import ends the process" in errors["ending"]
    assert "exiting" in errors
