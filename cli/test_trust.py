"""What a stranger's prototxt may do: inspecting it runs no code that it names, and writes no file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

MODULE = """
open("IMPORTED", "w").close()
from cafx_layer_python import UserLayer

class Same(UserLayer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff

class Exits(Same):
    def reshape(self, bottom, top):
        raise SystemExit("no more")
"""
NET = """
name: "Foreign"
layer { name: "data" type: "DummyData" top: "data" top: "target"
  dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "mine" type: "Python" bottom: "ip" top: "mine" python_param { module: "foreign" layer: "Same" } }
layer { name: "relu" type: "ReLU" bottom: "mine" top: "mine" }
layer { name: "loss" type: "EuclideanLoss" bottom: "mine" bottom: "target" top: "loss" }
layer { name: "aside" type: "Sigmoid" bottom: "ip" top: "aside" }
"""
SOLVER = 'net: "foreign.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "foreign"'
NOTICE = "not loaded: Python layer 'foreign.Same' (use --trust)"


@pytest.fixture(autouse=True)
def foreign(folder: Path, environment: dict[str, str]) -> Path:
    """A folder from elsewhere: a net, its solver and the module that it names."""
    environment.pop("CAFX_TRUST", None)
    (folder / "foreign.py").write_text(MODULE)
    (folder / "foreign.prototxt").write_text(NET)
    (folder / "foreign_solver.prototxt").write_text(SOLVER)
    return folder


@pytest.fixture
def imported(foreign: Path) -> Callable[[], bool]:
    """Whether the module has been imported."""
    return (foreign / "IMPORTED").exists


@pytest.mark.parametrize("file", ["foreign.prototxt", pytest.param("foreign_solver.prototxt", marks=pytest.mark.slow)])
def test_a_python_layer_is_shown_as_not_loaded(cafx: Run, imported: Callable[[], bool], file: str) -> None:
    shown = cafx("net", file, "--phase", "TRAIN").stdout
    assert f"layer 'mine' {NOTICE}\n" in shown
    assert "left out of these numbers: mine, relu, loss\n" in shown
    rows = {row["name"]: row for row in json.loads(cafx("net", file, "--json").stdout)["layers"]}
    assert (rows["mine"]["routine"], rows["mine"]["note"]) == ("not loaded", NOTICE)
    assert (rows["relu"]["routine"], rows["relu"]["note"]) == ("unknown", "behind layer 'mine'")
    assert not imported()


@pytest.mark.slow
def test_only_shapes_that_the_code_decides_are_unknown(cafx: Run) -> None:
    output = json.loads(cafx("net", "foreign.prototxt", "--json").stdout)
    assert output["outputs"] == ["aside", "loss"]
    assert output["inputs"] == []
    assert output["parameters"] == 8
    shapes = {
        row["name"]: [blob["shape"] for kind in ("bottoms", "tops") for blob in row[kind]] for row in output["layers"]
    }
    assert list(shapes) == ["data", "ip", "ip_ip_0_split", "mine", "relu", "loss", "aside"]
    assert shapes["mine"] == [[4, 2], None]
    assert shapes["relu"] == [None, None]
    assert shapes["loss"] == [None, [4, 2], None]
    assert shapes["aside"] == [[4, 2], [4, 2]]


@pytest.mark.slow
def test_a_layer_in_place_hides_what_it_may_have_changed(cafx: Run, foreign: Path) -> None:
    text = NET.replace('top: "mine" python', 'top: "ip" python').replace('"mine" top: "mine"', '"ip" top: "mine"', 1)
    (foreign / "foreign.prototxt").write_text(
        text.replace('"aside" type: "Sigmoid" bottom: "ip"', '"aside" type: "Sigmoid" bottom: "loss"')
    )
    rows = {row["name"]: row for row in json.loads(cafx("net", "foreign.prototxt", "--json").stdout)["layers"]}
    assert [blob["shape"] for blob in rows["mine"]["bottoms"] + rows["mine"]["tops"]] == [[4, 2], None]
    assert rows["relu"]["bottoms"][0]["shape"] is None


@pytest.mark.slow
def test_a_net_of_nothing_but_foreign_code_is_shown(cafx: Run, foreign: Path) -> None:
    text = 'layer { name: "a" type: "Python" top: "x" python_param { module: "foreign" layer: "Same" } }'
    (foreign / "foreign.prototxt").write_text(text)
    assert json.loads(cafx("net", "foreign.prototxt", "--json").stdout)["outputs"] == ["x"]
    assert NOTICE in cafx("net", "foreign.prototxt").stdout
    assert NOTICE in narrow_text(cafx("net", "foreign.prototxt", env=[("FORCE_COLOR", "1"), ("COLUMNS", "80")]).stdout)


def narrow_text(output: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", output)


@pytest.mark.slow
def test_a_drawn_python_layer_is_not_loaded(cafx: Run, foreign: Path, imported: Callable[[], bool]) -> None:
    cafx("draw", "foreign.prototxt", "net.dot")
    drawn = (foreign / "net.dot").read_text()
    assert NOTICE in drawn
    assert re.search(r'"  mine  \n  unknown  "', drawn)
    assert re.search(r'"  ip  \n  4×2  "', drawn)
    assert not imported()


@pytest.mark.slow
@pytest.mark.parametrize("how", [["--trust"], []])
@pytest.mark.parametrize("command", [["net", "foreign.prototxt"], ["draw", "foreign.prototxt", "net.dot"]])
def test_who_trusts_a_file_has_it_loaded(
    cafx: Run, foreign: Path, imported: Callable[[], bool], how: list[str], command: list[str]
) -> None:
    shown = cafx(*command, *how, env=[] if how else [("CAFX_TRUST", "1")]).stdout
    assert imported()
    assert "not loaded" not in shown + (foreign / "net.dot").read_text() if "net.dot" in command else shown


@pytest.mark.slow
def test_upgrading_a_net_imports_nothing(cafx: Run, imported: Callable[[], bool]) -> None:
    assert "foreign" in cafx("upgrade", "foreign.prototxt").stdout
    cafx("upgrade", "--to", "bvlc", "foreign.prototxt")
    assert not imported()


@pytest.mark.slow
def test_who_runs_a_net_has_its_modules_imported(cafx: Run, imported: Callable[[], bool]) -> None:
    cafx("train", "--solver", "foreign_solver.prototxt", "-q")
    assert imported()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["time", "foreign.prototxt", "-n", "1"],
        ["test", "foreign.prototxt", "-w", "w.caffemodel", "-n", "1"],
        ["extract-features", "w.caffemodel", "foreign.prototxt", "ip", "out.h5", "1", "hdf5"],
    ],
    ids=lambda command: command[0],
)
def test_who_scores_or_times_a_net_has_too(
    cafx: Run, foreign: Path, imported: Callable[[], bool], command: list[str]
) -> None:
    save = "from cafx.kernel import Net; Net('foreign.prototxt', trust=True).save('w.caffemodel')"
    subprocess.run([sys.executable, "-c", save], cwd=foreign, check=True)
    (foreign / "IMPORTED").unlink()
    cafx(*command)
    assert imported()


@pytest.mark.slow
def test_a_net_py_is_a_program_and_is_run(cafx: Run, foreign: Path, imported: Callable[[], bool]) -> None:
    (foreign / "net.py").write_text(
        "from cafx.dsl import NetSpec, layers as L\nn = NetSpec()\nn.x = L.Input(shape=dict(dim=[1, 2]))\n"
        "n.y = L.Python(n.x, module='foreign', layer='Same')\n"
    )
    assert "not loaded" not in cafx("net", "net.py").stdout
    assert imported()


@pytest.mark.slow
def test_an_exit_of_a_layer_is_an_error(cafx: Run, foreign: Path) -> None:
    path = foreign / "foreign.prototxt"
    path.write_text(path.read_text().replace('"Same"', '"Exits"'))
    error = cafx("time", "foreign.prototxt", "-n", "1", code=1).stderr
    assert re.match(r"error: foreign\.prototxt:\d+: layer 'mine' \(Python\): reshape of foreign\.Exits failed", error)
    assert "SystemExit: no more" in error


WRITERS = {
    "HDF5Output": """
layer { name: "out" type: "HDF5Output" bottom: "data" bottom: "target"
  hdf5_output_param { file_name: "victim/kept" } }""",
    "DetectionOutput": """
layer { name: "image" type: "Input" top: "image" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "feature" type: "Input" top: "feature" input_param { shape { dim: 1 dim: 2 dim: 2 dim: 2 } } }
layer { name: "loc" type: "Input" top: "loc" input_param { shape { dim: 1 dim: 16 } } }
layer { name: "conf" type: "Input" top: "conf" input_param { shape { dim: 1 dim: 8 } } }
layer { name: "prior" type: "PriorBox" bottom: "feature" bottom: "image" top: "prior"
  prior_box_param { min_size: 4 } }
layer { name: "out" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "out"
  detection_output_param { num_classes: 2 nms_param { nms_threshold: 0.4 } confidence_threshold: 0.1
    save_output_param { output_directory: "victim/new" output_name_prefix: "p" output_format: "VOC"
      label_map_file: "labels" name_size_file: "sizes" num_test_image: 1 } } }""",
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    "command",
    [["net"], *(pytest.param(each, marks=pytest.mark.slow) for each in (["draw", "--out", "../net.dot"], ["upgrade"]))],
    ids=lambda each: each[0],
)
def test_inspecting_writes_no_file(cafx: Run, foreign: Path, kind: str, command: list[str]) -> None:
    if kind == "DetectionOutput":
        pytest.importorskip("cafx_layer_detectionoutput")
    (foreign / "victim").mkdir()
    (foreign / "victim" / "kept").write_text("precious")
    (foreign / "labels").write_text('item { name: "none" label: 0 } item { name: "some" label: 1 }')
    (foreign / "sizes").write_text("a 32 32\n")
    (foreign / "writer.prototxt").write_text(NET.partition('layer { name: "ip"')[0] + WRITERS[kind])
    before = contents(foreign)
    cafx(*command[:1], "writer.prototxt", *command[1:])
    assert contents(foreign) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    """The contents of all files in a folder, and its folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }
