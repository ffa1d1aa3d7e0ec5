"""Common mistakes in prototxts are explained."""

from __future__ import annotations

import pytest

from cafx.kernel import CafxError, schema
from cafx_lib_hints.braces import misplaced_brace

NET = """name: "net"
input: "data"
layer {
  name: "conv1"
  type: "Convolution"
  convolution_param {
    num_output: 3  # }
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "py" type: "Python"
  python_param { module: "m" layer: "{" }
}
layer { name: "one" type: "ReLU" }
layer
{
  name: "style"
  include {
    phase: TRAIN
  }
}
"""
LINES = NET.splitlines()
CLOSED_BY = {10: "weight_filler of layer 'conv1' at line 8", 11: "convolution_param of layer 'conv1' at line 6"} | {
    12: "layer 'conv1' at line 3",
    16: "layer 'py' at line 13",
    23: "include of layer 'style' at line 21",
    24: "layer 'style' at line 18",
}


def test_right_braces_are_left_alone() -> None:
    assert misplaced_brace(NET, "net") is None
    assert misplaced_brace('layers { layer { name: "v0" } bottom: "x" }', "net") is None
    assert misplaced_brace('net_param {\nlayer {\nname: "a"\n}\n}\nbase_lr: 1', "solver") is None
    assert misplaced_brace("layer {\n      name: 'a'\n   }\nlayer {\nname: 'b'\n  }", "odd") is None


@pytest.mark.parametrize(("line", "title"), CLOSED_BY.items())
def test_a_missing_brace_is_found(line: int, title: str) -> None:
    error = misplaced_brace("\n".join(LINES[: line - 1] + LINES[line:]), "net")
    assert error is not None
    assert f"{title} seems not closed" in str(error)


def test_a_missing_brace_is_found_without_indentation() -> None:
    error = misplaced_brace('layer {\nname: "a"\nlayer {\nname: "b"\n}\n', "net")
    assert str(error) == "net:1: layer 'a' at line 1 seems not closed: expected a } before line 3"


@pytest.mark.parametrize(("after", "line"), [(11, 12), (12, 13), (24, 25)])
def test_a_surplus_brace_is_found(after: int, line: int) -> None:
    error = misplaced_brace("\n".join([*LINES[:after], "  }", *LINES[after:]]), "net")
    assert str(error) == f"net:{line}: this }} seems to be one too many; remove it"


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("layer {\n  name: 'c'\nlayer {\n name: 'd'\n}", ("net:1", "layer 'c' at line 1 seems not closed")),
        ('layers { name: "s" type: "Softmax" }', ("net:1", "has no quotes", "'layer {'", "type: SOFTMAX")),
        ('layers { type: "SoftmaxWithLoss" }', ("type: SOFTMAX_LOSS",)),
        ('layers { type: "BatchNorm" }', ("'layer {'",)),
        ("layer {\n type: SOFTMAX }", ("net:2", "text in quotes", 'write type: "Softmax"')),
        ("layer { type: INNER_PRODUCT }", ('write type: "InnerProduct"',)),
        ("layer { top: data }", ("top is a text in quotes", 'write top: "data"')),
        (r'layer { type: "Data" data_param { source: "C:\Users\me" } }', ("'source'", "each backslash twice")),
        (r'layer { type: "Data" data_param { source: "C:\x" } }', ("'source'", "each backslash twice")),
        ("layer { nme: 'a' }", ("did you mean 'name'?",)),
    ],
)
def test_a_mistake_is_explained(text: str, phrases: tuple[str, ...]) -> None:
    with pytest.raises(CafxError) as caught:
        schema().parse_text(text, "NetParameter", "net")
    for phrase in phrases:
        assert phrase in str(caught.value)


def test_odd_indentation_of_a_complete_layer_is_forgotten() -> None:
    odd = "layer {\n    relu_param {\n        x: 1\n  }\n}\n"
    error = misplaced_brace(odd + "layer {\n  name: 'b'\nlayer {\n  name: 'c'\n}\n", "net")
    assert str(error) == "net:6: layer 'b' at line 6 seems not closed: expected a } before line 8"


@pytest.mark.slow
@pytest.mark.parametrize("text", ["{ ", 'name: "\\"', "x: 1 ", "layer_ { ", "a b\t"])
def test_time_is_linear_in_the_text(text: str) -> None:
    """Were it quadratic, these would take hours."""
    misplaced_brace(text * 400_000, "net")
    with pytest.raises(CafxError):
        schema().parse_text(text * 40_000, "NetParameter")
