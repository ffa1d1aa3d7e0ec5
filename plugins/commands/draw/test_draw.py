"""The graph of a net."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree  # nosec B405  # drawings of our own

import pytest
from click.testing import CliRunner, Result

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, Net, Phase, registry
from cafx.kernel.net import NetState, filter_layers, insert_splits, read_net
from cafx_command_draw import draw

TestDraw = plugin_suite("command", "draw")

NET = """
name: "Two \\"heads\\""
layer { name: "data" type: "Input" top: "data" top: "target" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def invoke(*arguments: str) -> Result:
    """Run the command with the services that ``cafx`` provides."""

    def build(path: str, phase: str, level: int, stage: tuple[str, ...]) -> Any:
        return Net(path, Phase[phase], level=level, stages=stage)

    def define(path: str, phase: str, level: int, stage: tuple[str, ...]) -> Any:
        definition = filter_layers(read_net(path, registry()), NetState(Phase[phase], level, stage))
        return insert_splits(definition, registry())

    return CliRunner().invoke(draw, arguments, obj=SimpleNamespace(net=build, definition=define))


def source_of(path: Path) -> str:
    """The DOT text of a net."""
    out = path.with_suffix(".dot")
    assert invoke(str(path), "--out", str(out)).exit_code == 0
    return out.read_text()


def test_layers_are_nodes_and_blobs_edges_with_shapes(net: Path) -> None:
    source = source_of(net)
    assert source.count("bgcolor") == 4
    assert "12 parameters" in source
    assert "4×3" in source
    assert source.index("0 -> 1") < source.index("1 -> 3")


def test_an_in_place_layer_is_stacked_below_the_producer_of_its_blob(net: Path) -> None:
    (stack,) = [line for line in source_of(net).splitlines() if "InnerProduct" in line]
    assert stack.count("<tr>") == 2
    assert stack.index("InnerProduct") < stack.index("ReLU")


def test_only_explicit_splits_are_drawn(net: Path) -> None:
    net.write_text(NET.replace('bottom: "target" top: "loss"', 'bottom: "ip" top: "loss"'))
    source = source_of(net)
    assert "Split" not in source
    assert "_split" not in source
    assert source.count("1 -> 4") == 2  # the split is layer 3
    net.write_text(NET + 'layer { name: "s" type: "Split" bottom: "ip" top: "a" top: "b" }')
    assert source_of(net).count("<br/>Split") == 1


def test_options_are_printed(net: Path) -> None:
    assert "num_output 3<" in source_of(net)


def test_names_are_escaped(net: Path) -> None:
    net.write_text(NET.replace('"relu"', '"<b>&"'))
    assert "&lt;b&gt;&amp;" in source_of(net)


def test_a_net_without_its_data_is_drawn_without_shapes(net: Path, tmp_path: Path) -> None:
    data = 'layer { name: "far" type: "Data" top: "far" data_param { source: "nowhere" batch_size: 2 } }'
    net.write_text(NET + data)
    refused = invoke(str(net), "--out", str(tmp_path / "net.dot"))
    assert isinstance(refused.exception, CafxError)
    assert "--no-shapes" in str(refused.exception)
    assert not (tmp_path / "net.dot").exists()
    assert invoke(str(net), "--no-shapes", "--out", str(tmp_path / "net.dot")).exit_code == 0
    assert "batch_size 2" in (tmp_path / "net.dot").read_text()


def test_a_dot_file_does_not_need_graphviz(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "net.dot"
    assert invoke(str(net), "--out", str(out)).exit_code == 0
    assert out.read_text().startswith("digraph")


def test_the_error_for_a_missing_dot_has_a_remedy(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = invoke(str(net), "--out", str(tmp_path / "net.png"))
    assert isinstance(result.exception, CafxError)
    assert "write an .svg or .dot file, or install it (apt install graphviz" in str(result.exception)
    assert not (tmp_path / "net.png").exists()


@pytest.mark.parametrize("rankdir", ["TB", "LR", "BT", "RL"])
def test_an_svg_does_not_need_graphviz(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rankdir: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert invoke(str(net), str(tmp_path / "net.svg"), "--rankdir", rankdir).exit_code == 0
    drawing = ElementTree.parse(tmp_path / "net.svg").getroot()
    texts = {text.text: (float(text.get("x", 0)), float(text.get("y", 0))) for text in drawing.iter(f"{SVG}text")}
    assert {"data", "target", "ip", "relu", "loss", "12 parameters", "num_output 3", "4×3", "scalar"} <= set(texts)
    axis, sign = (0 if rankdir in ("LR", "RL") else 1), (1 if rankdir in ("TB", "LR") else -1)
    along = [sign * texts[name][axis] for name in ("Input", "InnerProduct", "EuclideanLoss", "scalar")]
    assert along == sorted(along)
    fills = [box.get("fill") for box in drawing.iter(f"{SVG}rect")][1:]
    assert sorted(fills) == sorted(["#cfe8cf", "#c9dcf3", "#ececec", "#f6c8c8"])
    assert drawing.findtext(f"{SVG}title") == 'Two "heads"'
    ends = [path for path in drawing.iter(f"{SVG}path") if path.get("marker-end")]
    assert len(ends) == 3, "data to ip, ip to loss, target to loss"


def test_names_are_escaped_in_an_svg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    net = tmp_path / "net.prototxt"
    net.write_text(NET.replace('"relu"', '"<script>&\\033[2J"'))
    assert invoke(str(net), str(tmp_path / "net.svg")).exit_code == 0
    texts = [text.text for text in ElementTree.parse(tmp_path / "net.svg").getroot().iter(f"{SVG}text")]
    assert "<script>&\\x1b[2J" in texts


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs graphviz's dot")
@pytest.mark.parametrize(("name", "begins"), [("net.svg", b"<?xml"), ("net.png", b"\x89PNG"), ("net.pdf", b"%PDF")])
def test_picture_formats(net: Path, tmp_path: Path, name: str, begins: bytes) -> None:
    assert invoke(str(net), "--out", str(tmp_path / name)).exit_code == 0
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_an_unknown_format_is_refused(net: Path, tmp_path: Path) -> None:
    assert isinstance(invoke(str(net), "--out", "net.xyz").exception, CafxError)


def test_the_error_of_a_failing_dot_is_printed(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "dot"
    fake.write_text("#!/bin/sh\necho 'no png here' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = invoke(str(net), "--out", str(tmp_path / "net.png"))
    assert isinstance(result.exception, CafxError)
    assert "no png here" in str(result.exception)


def test_the_picture_may_be_named_without_an_option(net: Path, tmp_path: Path) -> None:
    assert invoke(str(net), str(tmp_path / "net.dot")).exit_code == 0
    assert "digraph" in (tmp_path / "net.dot").read_text()
    both = invoke(str(net), str(tmp_path / "a.dot"), "--out", str(tmp_path / "b.dot"))
    assert both.exit_code == 2
    assert "Two pictures are named" in both.output


def test_control_characters_of_names_are_escaped(tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(
        'name: "a\\033[2J" layer { name: "b\\033]0;c\\007" type: "Input" top: "d\\033[31m" '
        "input_param { shape { dim: 1 } } }"
    )
    assert invoke(str(net), str(tmp_path / "net.dot")).exit_code == 0
    drawn = (tmp_path / "net.dot").read_text()
    assert "\x1b" not in drawn
    assert "\x07" not in drawn
    assert "x1b]0;c" in drawn
