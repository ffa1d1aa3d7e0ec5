"""Nets, solvers and weights in earlier formats are upgraded to the current one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, registry, schema
from cafx.kernel.net import read_weights
from cafx_upgrade_legacy import Legacy

TestLegacy = plugin_suite("upgrade", "legacy")


def upgraded(text: str) -> Any:
    return Legacy().upgrade_net(schema().parse_text(text, "NetParameter"), "old.prototxt")


def expected(text: str) -> Any:
    return schema().parse_text(text, "NetParameter")


def test_v0_options_move_to_the_messages_of_their_types() -> None:
    old = """
        layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 5 stride: 2 group: 2 biasterm: false
                         weight_filler { type: "xavier" } blobs_lr: 1 blobs_lr: 2
                         weight_decay: 1 weight_decay: 0 }
                 bottom: "x" top: "c" }
        layers { layer { name: "p" type: "pool" pool: AVE kernelsize: 3 pad: 1 } bottom: "c" top: "p" }
        layers { layer { name: "i" type: "innerproduct" num_output: 3 } bottom: "p" top: "i" }
        layers { layer { name: "d" type: "dropout" dropout_ratio: 0.25 } bottom: "i" top: "i" }
        layers { layer { name: "l" type: "softmax_loss" } bottom: "i" bottom: "y" }
    """
    assert upgraded(old) == expected("""
        layer { name: "c" type: "Convolution" bottom: "x" top: "c"
                param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
                convolution_param { num_output: 4 kernel_size: 5 stride: 2 group: 2 bias_term: false
                                    weight_filler { type: "xavier" } } }
        layer { name: "p" type: "Pooling" bottom: "c" top: "p"
                pooling_param { pool: AVE kernel_size: 3 pad: 1 } }
        layer { name: "i" type: "InnerProduct" bottom: "p" top: "i" inner_product_param { num_output: 3 } }
        layer { name: "d" type: "Dropout" bottom: "i" top: "i" dropout_param { dropout_ratio: 0.25 } }
        layer { name: "l" type: "SoftmaxWithLoss" bottom: "i" bottom: "y" }
    """)


def test_v0_padding_layers_become_pad_options() -> None:
    old = """
        layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "x" top: "padded" }
        layers { layer { name: "c" type: "conv" num_output: 4 kernelsize: 5 } bottom: "padded" top: "c" }
    """
    assert upgraded(old) == expected("""
        layer { name: "c" type: "Convolution" bottom: "x" top: "c"
                convolution_param { num_output: 4 kernel_size: 5 pad: 2 } }
    """)


def test_v0_transformations_move_to_transform_param() -> None:
    old = """
        layers { layer { name: "d" type: "data" source: "db" batchsize: 8 cropsize: 20 mirror: true
                         scale: 0.5 meanfile: "m" rand_skip: 3 } top: "x" top: "y" }
        layers { layer { name: "w" type: "window_data" source: "w.txt" batchsize: 2 det_fg_threshold: 0.6
                         det_context_pad: 16 det_crop_mode: "square" } top: "wx" top: "wy" }
    """
    assert upgraded(old) == expected("""
        layer { name: "d" type: "Data" top: "x" top: "y"
                data_param { source: "db" batch_size: 8 rand_skip: 3 }
                transform_param { scale: 0.5 mirror: true crop_size: 20 mean_file: "m" } }
        layer { name: "w" type: "WindowData" top: "wx" top: "wy"
                window_data_param { source: "w.txt" batch_size: 2 fg_threshold: 0.6 context_pad: 16
                                    crop_mode: "square" } }
    """)


def test_options_that_a_v0_type_does_not_have_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    net = upgraded('layers { layer { name: "r" type: "relu" num_output: 3 } bottom: "x" top: "x" }')
    assert net == expected('layer { name: "r" type: "ReLU" bottom: "x" top: "x" }')
    assert "'num_output' is not an option of this type" in caplog.text


def test_v1_parameter_lists_become_param_messages() -> None:
    old = """
        layers { name: "i" type: INNER_PRODUCT bottom: "x" top: "i" param: "w" param: "b" blobs_lr: 10
                 blobs_lr: 20 weight_decay: 1 blob_share_mode: STRICT blob_share_mode: PERMISSIVE
                 loss_weight: 0.5 include { phase: TEST } inner_product_param { num_output: 5 } }
        layers { name: "r" type: RELU bottom: "i" top: "i" exclude { stage: "deploy" } relu_param { } }
    """
    assert upgraded(old) == expected("""
        layer { name: "i" type: "InnerProduct" bottom: "x" top: "i" loss_weight: 0.5 include { phase: TEST }
                param { name: "w" lr_mult: 10 decay_mult: 1 share_mode: STRICT }
                param { name: "b" lr_mult: 20 share_mode: PERMISSIVE }
                inner_product_param { num_output: 5 } }
        layer { name: "r" type: "ReLU" bottom: "i" top: "i" exclude { stage: "deploy" } relu_param { } }
    """)


def test_v1_transformations_move_to_transform_param() -> None:
    old = 'layers { name: "d" type: DATA top: "x" data_param { source: "db" scale: 0.5 crop_size: 3 } }'
    assert upgraded(old) == expected("""
        layer { name: "d" type: "Data" top: "x" data_param { source: "db" }
                transform_param { scale: 0.5 crop_size: 3 } }
    """)


def test_every_v1_type_has_a_current_name() -> None:
    from cafx_upgrade_legacy import V1LayerParameter
    from cafx_upgrade_legacy.v0 import TYPES as V0_TYPES
    from cafx_upgrade_legacy.v1 import TYPES

    assert set(TYPES) == set(V1LayerParameter.LayerType)
    assert set(V0_TYPES.values()) < set(TYPES)


def test_input_fields_become_an_input_layer() -> None:
    shapes = "input_shape { dim: 2 dim: 3 } input_shape { dim: 2 dim: 1 dim: 4 dim: 1 }"
    net = upgraded(f'input: "a" input: "b" {shapes} layer {{ name: "r" type: "ReLU" bottom: "a" top: "c" }}')
    assert net == expected("""
        layer { name: "input" type: "Input" top: "a" top: "b"
                input_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 dim: 4 dim: 1 } } }
        layer { name: "r" type: "ReLU" bottom: "a" top: "c" }
    """)


def test_input_dim_has_four_numbers_per_input() -> None:
    dims = "".join(f"input_dim: {n} " for n in (1, 3, 5, 7, 2, 1, 1, 1))
    shapes = upgraded(f'input: "a" input: "b" {dims}').layer[0].input_param.shape
    assert [list(shape.dim) for shape in shapes] == [[1, 3, 5, 7], [2, 1, 1, 1]]


def test_inputs_without_shapes_are_dropped() -> None:
    assert upgraded('input: "a" layer { name: "r" }') == expected('layer { name: "r" }')


def test_batchnorm_statistics_are_frozen() -> None:
    net = upgraded('layer { type: "BatchNorm" param { lr_mult: 1 } param { name: "v" } param { } }')
    assert [(spec.lr_mult, spec.decay_mult) for spec in net.layer[0].param] == [(0, 0)] * 3
    assert net.layer[0].param[1].name == "v"


def test_current_nets_are_unchanged() -> None:
    text = 'name: "n" layer { name: "b" type: "BatchNorm" bottom: "x" top: "y" param { lr_mult: 0 } }'
    assert upgraded(text) == expected(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('layers { layer { type: "convv" } }', "unknown V0 layer type 'convv'"),
        ('layers { type: RELU } layer { type: "ReLU" }', "mixes 'layers' and 'layer'"),
        ('input: "a" input: "b" input_shape { dim: 1 }', "1 shapes for 2 inputs"),
        ('input: "a" input_dim: 1 input_dim: 3', "0 shapes for 1 inputs"),
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }'
            'layers { layer { name: "i" type: "innerproduct" } bottom: "p" top: "i" }',
            'expected type "conv" or "pool"',
        ),
    ],
)
def test_invalid_legacy_nets_are_rejected(text: str, message: str) -> None:
    with pytest.raises(CafxError, match=message):
        upgraded(text)


def test_solver_numbers_become_names() -> None:
    old = schema().parse_text("solver_type: RMSPROP base_lr: 0.5", "SolverParameter")
    new = Legacy().upgrade_solver(old, "solver.prototxt")
    assert new == schema().parse_text('type: "RMSProp" base_lr: 0.5', "SolverParameter")


def test_a_solver_with_type_and_solver_type_is_rejected() -> None:
    both = schema().parse_text('solver_type: SGD type: "SGD"', "SolverParameter")
    with pytest.raises(CafxError, match="both set"):
        Legacy().upgrade_solver(both, "solver.prototxt")


def test_weights_in_earlier_formats_are_read(tmp_path: Path) -> None:
    net = schema().parse_text(
        """
        layers { name: "new" type: INNER_PRODUCT
                 blobs { num: 1 channels: 1 height: 2 width: 1 data: 1 data: 2 } }
        layers { layer { name: "old" type: "conv"
                         blobs { num: 1 channels: 1 height: 1 width: 1 data: 3 } } }
        """,
        "NetParameter",
    )
    path = tmp_path / "old.caffemodel"
    path.write_bytes(net.SerializeToString())
    new, old = read_weights(path, registry())
    assert (new.name, old.name) == ("new", "old")
    np.testing.assert_array_equal(new.blobs[0].data, [1, 2])
    assert new.blobs[0].shape == (1, 1, 2, 1)
    np.testing.assert_array_equal(old.blobs[0].data, [3])
