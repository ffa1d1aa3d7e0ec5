"""R-FCN's PRE_FIXED in a prototxt."""

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, LossParameter, schema
from cafx.kernel.schema import complete

TestDialectRcnn = plugin_suite("dialect", "rcnn")

LAYER = 'layer {{ name: "l" type: "SmoothL1LossOHEM" loss_param {{ {} }} }}'


def loss_param(text: str) -> LossParameter:
    net = schema().parse_text(LAYER.format(text), "NetParameter")
    return complete(LossParameter).from_proto(net.layer[0].loss_param)


def test_a_fixed_divisor_is_read() -> None:
    options = loss_param("normalization: PRE_FIXED pre_fixed_normalizer: 128")
    assert options.normalization.name == "PRE_FIXED"
    assert options.pre_fixed_normalizer == 128


def test_bvlc_s_values_stay_what_they_are() -> None:
    for mode in LossParameter.NormalizationMode:
        assert loss_param(f"normalization: {mode.name}").normalization is mode


def test_a_divisor_of_0_is_refused() -> None:
    with pytest.raises(CafxError, match="pre_fixed_normalizer"):
        loss_param("normalization: PRE_FIXED pre_fixed_normalizer: 0")
