"""The graph of a net."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cafx.kernel import CafxError, Net, Phase
from cafx_command_draw import draw, graph_of

NET = """
name: "Two \\"heads\\""
layer { name: "data" type: "Input" top: "data" top: "target" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def invoke(*arguments: str) -> Result:
    """Run the command as ``cafx`` does, which builds nets for it."""

    def build(path: str, phase: str, level: int, stage: tuple[str, ...]) -> Any:
        return Net(path, Phase[phase], level=level, stages=stage)

    return CliRunner().invoke(draw, arguments, obj=SimpleNamespace(net=build))


def test_layers_are_nodes_and_blobs_edges_with_shapes(net: Path) -> None:
    source = graph_of(Net(str(net), Phase.TRAIN)).source
    assert source.count("fillcolor") == 4
    assert "12 parameters" in source
    assert "4×3" in source
    assert source.index("0 -> 1") < source.index("1 -> 2") < source.index("2 -> 3")


def test_a_dot_file_needs_no_program(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "net.dot"
    assert invoke(str(net), "--out", str(out)).exit_code == 0
    assert out.read_text().startswith("digraph")


def test_a_missing_program_is_told_with_the_remedy(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = invoke(str(net), "--out", str(tmp_path / "net.svg"))
    assert isinstance(done.exception, CafxError)
    assert "install graphviz" in str(done.exception)
    assert not (tmp_path / "net.svg").exists()


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs graphviz's dot")
def test_a_picture(net: Path, tmp_path: Path) -> None:
    assert invoke(str(net), "--out", str(tmp_path / "net.svg")).exit_code == 0
    assert b"<svg" in (tmp_path / "net.svg").read_bytes()


def test_an_unknown_format_is_refused(net: Path, tmp_path: Path) -> None:
    assert isinstance(invoke(str(net), "--out", "net.xyz").exception, CafxError)
