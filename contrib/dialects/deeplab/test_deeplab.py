"""DeepLab's fields are read; their effect is tested with the layer that reads them."""

from __future__ import annotations

from typing import Any

import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, TransformationParameter, schema
from cafx.kernel.schema import complete
from cafx_dialect_deeplab import DeepLabImageData, DeepLabTransformation

TestDialectDeeplab = plugin_suite("dialect", "deeplab")


def test_options_of_deeplab_are_read() -> None:
    text = 'image_data_param { source: "list" label_type: NONE } transform_param { scale_factors: 0.5 crop_width: 7 }'
    layer = schema().parse_text(f'name: "d" type: "ImageSegData" {text}', "LayerParameter")
    assert DeepLabImageData(label_type=layer.image_data_param.label_type).label_type.name == "NONE"
    options: Any = complete(TransformationParameter).from_proto(layer.transform_param)
    assert (options.scale_factors, options.crop_width, options.crop_height) == ((0.5,), 7, 0)


def test_numbers_are_those_of_the_fork_where_they_are_known() -> None:
    numbers = {name: option.number for name, option in DeepLabTransformation.__options__.items()}
    assert numbers == {"scale_factors": 8, "crop_width": 9, "crop_height": 10}
    assert all(option.number > 100_000 for option in DeepLabImageData.__options__.values())


def test_a_factor_is_above_0() -> None:
    with pytest.raises(CafxError, match="scale_factors=0 is not valid"):
        DeepLabTransformation(scale_factors=[0])
