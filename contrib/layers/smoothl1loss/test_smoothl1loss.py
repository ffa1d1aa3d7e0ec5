"""SmoothL1Loss beyond the conformance suite."""

import pytest

from cafx.conformance import layer_suite
from cafx.kernel import Net, schema

TestSmoothL1Loss = layer_suite("SmoothL1Loss")


def net(text: str, bottoms: int = 2) -> Net:
    names = "xtiw"[:bottoms]
    inputs = "".join(
        f'layer {{ name: "{n}" type: "Input" top: "{n}" input_param {{ shape {{ dim: 1 dim: 2 }} }} }}' for n in names
    )
    reads = "".join(f'bottom: "{n}" ' for n in names)
    text = f'{inputs} layer {{ name: "l" type: "SmoothL1Loss" {reads} top: "l" {text} }}'
    return Net(schema().parse_text(text, "NetParameter"), engine="numpy")


@pytest.mark.parametrize(
    ("text", "bottoms", "weight"),
    [
        ("", 2, 1),
        ("", 3, 1),
        ("", 4, 0),
        ("smooth_l1_loss_param { }", 2, 0),
        ("smooth_l1_loss_param { sigma: 3 } loss_weight: 2", 2, 2),
        ("loss_weight: 0", 2, 0),
    ],
)
def test_the_form_decides_on_the_default_weight(text: str, bottoms: int, weight: float) -> None:
    built = net(text, bottoms)
    result = built.forward(**{name: [[3.0, 3.0]] if name == "x" else [[1.0, 1.0]] for name in "xtiw"[:bottoms]})
    assert result["l"] > 0
    assert built.loss == pytest.approx(weight * result["l"])
