"""``cafx plugins`` and ``check``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

API = "Requires-Dist: cafx-kernel>=0.1,<0.2"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_the_list_names_distributions_and_versions(cafx: Run) -> None:
    rows = json.loads(cafx("plugins", "list", "--json").stdout)
    relu = next(row for row in rows if row["name"] == "ReLU")
    assert (relu["kind"], relu["distribution"], relu["error"]) == ("layer", "cafx-layer-relu", None)
    assert relu["version"]
    assert "cafx-solver-sgd" in cafx("plugins").stdout


@pytest.mark.slow
def test_an_unknown_kind_has_a_suggestion(cafx: Run) -> None:
    assert "did you mean 'layer'" in cafx("plugins", "list", "--kind", "layr", code=1).stderr


@pytest.mark.slow
def test_a_plugin_is_described(cafx: Run) -> None:
    text = cafx("plugins", "show", "InnerProduct").stdout
    assert "Y = X Wᵀ + b" in text
    assert "| `num_output` | uint32 |" in text
    assert 'type: "InnerProduct"' in text
    assert "L.InnerProduct(" in text
    assert json.loads(cafx("plugins", "show", "relu", "--json").stdout)["facts"]["in_place"] is True


@pytest.mark.slow
def test_an_unknown_plugin_has_a_suggestion(cafx: Run) -> None:
    assert "'ReLU'" in cafx("plugins", "show", "ReLUU", code=1).stderr


@pytest.mark.slow
def test_the_catalogue_links_every_layer(cafx: Run, folder: Path) -> None:
    cafx("plugins", "catalogue", "--out", "docs")
    index = (folder / "docs" / "index.md").read_text()
    assert "[ReLU](layer/relu.md)" in index
    for page in (folder / "docs").glob("*/*.md"):
        assert f"({page.parent.name}/{page.name})" in index


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
    assert re.search(r"│ loads +│ the plugin can be imported and has a +│ pass +│", output)
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
