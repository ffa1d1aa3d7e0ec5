"""Every wrong option or shape a layer's docstring names is refused when the net is built.

The error names the layer, what was found and what was expected. What only values can show (a label
that is no class) is refused by the first forward, in the layer's own tests.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from cafx.kernel import CafxError, Net, Phase, registry

NAME = "subject"
TABLE = """
Clip 4x3: clip_param { min: 2 max: 1 }
    min: 2, max: 1 | expected min at most max
Dropout 4x3: dropout_param { dropout_ratio: 1.5 }
    dropout_ratio=1.5 | from 0 to 1
Dropout 4x3: dropout_param { dropout_ratio: -0.1 }
    dropout_ratio=-0.1 | from 0 to 1
Exp 4x3: exp_param { base: -2 }
    base | got -2 | positive number, or -1
Exp 4x3: exp_param { base: 0 }
    base | got 0 | positive number
Log 4x3: log_param { base: 0 }
    base | got 0 | positive number
Log 4x3: log_param { base: 1 }
    base | got 1 | other than 1
PReLU 5:
    1 axes | 2 or more
Softmax 2x3x4x5: softmax_param { axis: 4 }
    axis 4 | -4 to 3

Flatten 2x3x4x5: flatten_param { axis: 3 end_axis: 1 }
    axis 3, end_axis 1 | expected
Flatten 2x3x4x5: flatten_param { axis: 4 }
    axis 4 | -4 to 3
Reshape 4x3: reshape_param { shape { dim: -1 dim: -1 } }
    [-1, -1] | one -1
Reshape 4x3: reshape_param { shape { dim: -2 } }
    [-2] | -1, 0 or more
Reshape 4x3: reshape_param { shape { dim: 5 dim: -1 } }
    12 values | a multiple of 5
Reshape 4x3: reshape_param { shape { dim: 7 } }
    7 for 4×3 | 12 values
Reshape 4x3: reshape_param { shape { dim: 4 dim: 3 dim: 0 } }
    axis 2 of 4×3 | expected
Reshape 4x3: reshape_param { axis: 1 num_axes: 2 shape { dim: 3 } }
    num_axes 2 | 2 axes
Reshape 4x3: reshape_param { num_axes: -2 shape { dim: 3 } }
    num_axes=-2 | at least -1
Concat 4x3 4x3: concat_param { axis: 1 concat_dim: 1 }
    axis and concat_dim | axis alone
Concat 4x3 4x3: concat_param { axis: 2 }
    axis 2 | -2 to 1
Concat 2x3x4 2x3x5:
    2×3×5 and 2×3×4 | equal lengths along all axes but 1
Slice 4x3 -> 3: slice_param { axis: 1 slice_dim: 1 }
    axis and slice_dim | axis alone
Slice 4x3 -> 3: slice_param { axis: -3 }
    axis -3 | -2 to 1
Slice 4x3 -> 2:
    length 3 for 2 tops | multiple
Slice 4x3 -> 3: slice_param { slice_point: 1 }
    got 1 | expected 2
Slice 4x3 -> 3: slice_param { slice_point: 2 slice_point: 1 }
    2, 1 | expected
Slice 4x3 -> 2: slice_param { slice_point: 4 }
    got 4 | at most 3
Tile 4x3:
    tiles is missing | tile_param
Tile 4x3: tile_param { tiles: 0 }
    tiles=0 | more than 0
Tile 4x3: tile_param { tiles: 2 axis: 2 }
    axis 2 | -2 to 1
Crop 2x3x4x5 2x3x4x5: crop_param { axis: 4 }
    axis 4 | -4 to 3
Crop 2x3x4x5 2x3x2x2: crop_param { offset: 1 offset: 1 offset: 1 }
    got 3 | 0, 1 or 2
Crop 2x3x4x5 2x3x2x2: crop_param { offset: 3 }
    2×3×2×2 at offset 3, 3 | within 2×3×4×5
Crop 2x3x4x5 2x3x2:
    2×3×2  | within 2×3×4×5
BatchReindex 4x3 2x1:
    2×1 | one axis
BatchReindex scalar 2:
    scalar | one axis
Filter 4x3 4 -> 2:
    2 tops | expected 1
Filter 4x3 4x2:
    4×2 | N, or N×1
Filter 4x3 3:
    4×3 | 3 items

Eltwise 4x3 4x3: eltwise_param { coeff: 1 }
    coeff | got 1 | expected 2
Eltwise 4x3 4x3: eltwise_param { operation: PROD coeff: 1 coeff: 1 }
    coeff | got | PROD
Eltwise 4x3 3x4:
    3×4 | expected 4×3
Reduction 4x3: reduction_param { axis: 2 }
    axis 2 | -2 to 1
ArgMax 4x3: argmax_param { top_k: 0 }
    top_k=0 | more than 0
ArgMax 4x3: argmax_param { top_k: 4 }
    got 4 | at most 3
ArgMax 4x3: argmax_param { axis: 2 }
    axis 2 | -2 to 1
Accuracy 4x3 4: accuracy_param { axis: 2 }
    axis 2 | -2 to 1
Accuracy 4x3 3:
    3 labels | expected 4
Accuracy 4x3 4: accuracy_param { top_k: 4 }
    top_k | got 4 | at most 3
Bias 4x3: bias_param { axis: 2 }
    axis 2 | -2 to 1
Bias 4x3: bias_param { num_axes: 2 }
    does not have 2 axes from axis 1 | got 4×3 | at least 3
Bias 4x3: bias_param { num_axes: -2 }
    num_axes=-2 | at least -1
Bias 4x3 4:
    4 against 4×3 | expected 3
Scale 4x3: scale_param { axis: 2 }
    axis 2 | -2 to 1
Scale 4x3: scale_param { num_axes: 2 }
    does not have 2 axes from axis 1 | got 4×3 | at least 3
Scale 4x3 4:
    4 against 4×3 | expected 3
MVN 1x2x3x4x5:
    got 5 | 1 to 4
BatchNorm 3:
    axis 1 | from -1 to 0
BatchNorm 4x3: batch_norm_param { eps: -1 }
    eps=-1 | at least 0
LRN 2x3x4:
    2×3×4 | 4 axes
LRN 2x3x4x5: lrn_param { local_size: 4 }
    local_size=4 | odd

InnerProduct 4x3:
    num_output is missing | inner_product_param
InnerProduct 4x3: inner_product_param { num_output: 0 }
    num_output=0 | more than 0
InnerProduct 4x3: inner_product_param { num_output: 2 axis: 3 }
    axis 3 | -2 to 1
Embed 4: embed_param { input_dim: 2 }
    num_output is missing | embed_param
Embed 4: embed_param { num_output: 2 }
    input_dim is missing | embed_param
Im2col 2x3x4x5: convolution_param { kernel_size: 2 axis: 3 }
    2×3×4×5 | expected
Im2col 2x3x4x5: convolution_param { kernel_size: 2 pad: 1 pad_h: 1 }
    pad_h | got | expected
Im2col 2x3x4x5: convolution_param { kernel_size: 9 }
    image 4×5 | at least 9×9
Convolution 2x3x4x5: convolution_param { kernel_size: 2 }
    num_output is missing | conv
Convolution 2x3x4x5: convolution_param { num_output: 2 }
    kernel_size | got [] | at least 1
Convolution 2x3x4x5: convolution_param { num_output: 2 kernel_size: 2 stride: 0 }
    stride | got [0, 0] | at least 1
Convolution 2x3x4x5: convolution_param { num_output: 2 kernel_size: 2 group: 2 }
    3 channels in, 2 out | multiples of 2
Convolution 2x3x4x5: convolution_param { num_output: 2 kernel_size: 2 group: 0 }
    group=0 | more than 0
Convolution 2x3x4x5 2x3x4x4 -> 2: convolution_param { num_output: 2 kernel_size: 2 }
    2×3×4×4 | expected 2×3×4×5
Deconvolution 2x3x4x5: convolution_param { kernel_size: 2 }
    num_output is missing | conv
Deconvolution 2x3x4x5: convolution_param { num_output: 2 }
    kernel_size | got [] | at least 1
Deconvolution 2x3x4x5: convolution_param { num_output: 2 kernel_size: 2 stride: 0 }
    stride | got [0, 0] | at least 1
Deconvolution 2x3x4x5: convolution_param { num_output: 2 kernel_size: 2 group: 2 }
    3 channels in, 2 out | multiples of 2
Deconvolution 2x3x4x5: convolution_param { num_output: 2 kernel_size: 2 group: 0 }
    group=0 | more than 0
Deconvolution 2x3x4x5 2x3x4x4 -> 2: convolution_param { num_output: 2 kernel_size: 2 }
    2×3×4×4 | expected 2×3×4×5
Convolution 2x3x4x5: convolution_param { num_output: 2 kernel_size: 6 }
    image 4×5 | at least 6×6
Deconvolution 2x3x4x5: convolution_param { num_output: 2 kernel_size: 1 pad: 2 }
    bottom 4×5 | expected
Pooling 2x3x4: pooling_param { kernel_size: 2 }
    2×3×4 | 4 axes
Pooling 2x3x4x5:
    kernel_size | got neither | expected
Pooling 2x3x4x5: pooling_param { kernel_size: 2 kernel_h: 2 kernel_w: 2 }
    kernel_size and kernel_h | expected
Pooling 2x3x4x5: pooling_param { kernel_h: 2 }
    got kernel_h | expected
Pooling 2x3x4x5: pooling_param { kernel_size: 2 stride: 1 stride_h: 1 }
    stride and stride_h | expected
Pooling 2x3x4x5: pooling_param { kernel_size: 2 pad_h: 1 }
    got pad_h | expected
Pooling 2x3x4x5: pooling_param { global_pooling: true kernel_size: 2 }
    global_pooling | got | kernel
Pooling 2x3x4x5: pooling_param { kernel_size: 6 }
    planes 4×5, kernel 6×6 | expected
Pooling 2x3x4x5: pooling_param { kernel_size: 2 pad: 2 }
    pad 2×2, kernel 2×2 | expected
Pooling 2x3x4x5: pooling_param { pool: STOCHASTIC kernel_size: 3 pad: 1 }
    pad 1×1 | expected
Pooling 2x3x4x5 -> 2: pooling_param { pool: AVE kernel_size: 2 }
    AVE, 2 tops | expected
SPP 2x3x4x5:
    pyramid_height is missing | spp_param
SPP 2x3x4x5: spp_param { pyramid_height: 0 }
    pyramid_height=0 | more than 0
SPP 2x3x4x5: spp_param { pyramid_height: 9 }
    pad | kernel | got | expected
SPP 4x3: spp_param { pyramid_height: 1 }
    4×3 | 4 axes

RNN 3x2x4 3x2:
    num_output is missing | recurrent_param
RNN 3x2x4 3x2: recurrent_param { num_output: 2 expose_hidden: true }
    bottoms: 2, tops: 1 | expected
RNN 3x2x4 2x3: recurrent_param { num_output: 2 }
    2×3 | expected 3×2
RNN 3x2 3x2: recurrent_param { num_output: 2 }
    axis 2 | -2 to 1
RNN 3x2x4 3x2 5x4: recurrent_param { num_output: 2 }
    5×4 | expected 2×4
LSTM 3x2x4 3x2:
    num_output is missing | recurrent_param
LSTM 3x2x4 3x2: recurrent_param { num_output: 2 expose_hidden: true }
    bottoms: 2, tops: 1 | expected
LSTM 3x2x4 2x3: recurrent_param { num_output: 2 }
    2×3 | expected 3×2
LSTM 3x2 3x2: recurrent_param { num_output: 2 }
    axis 2 | -2 to 1
LSTM 3x2x4 3x2 5x4: recurrent_param { num_output: 2 }
    5×4 | expected 2×4
LSTMUnit 1x2x3 1x2x11 1x2 -> 2:
    1×2×11 | 1×2×12
LSTMUnit 2x2x3 1x2x12 1x2 -> 2:
    2×2×3 | 1×2×3
LSTMUnit 1x2x3 1x2x12 1x3 -> 2:
    1×3 | expected 1×2
LSTMUnit 1x2 1x2x12 1x2 -> 2:
    axis 2 | -2 to 1

EuclideanLoss 4x3 3x3:
    4×3 and 3×3 | same first axis
EuclideanLoss 4x3 4x2:
    3 and 2 | equal numbers
ContrastiveLoss 4x3 4x2 4:
    4×3, 4×2, 4 | 4×C
ContrastiveLoss 4x3 4x3 3:
    4×3, 4×3, 3 | 4×C
ContrastiveLoss 2x3x4x5 2x3x4x5 2:
    2×3×4×5 | 2×C
HingeLoss 4x3 3:
    4×3 and 3 | same first axis
HingeLoss 4x3 4x2:
    8 labels | expected 4
MultinomialLogisticLoss 4x3 4x3:
    12 labels | expected 4 | one-hot
SoftmaxWithLoss 4x3 4: softmax_param { axis: 2 }
    axis 2 | -2 to 1
SoftmaxWithLoss 4x3 4x3:
    12 labels | expected 4 | one-hot
SigmoidCrossEntropyLoss 4x3 4x2:
    12 and 8 | equal numbers
InfogainLoss 4x3 4:
    matrix is missing | third bottom
InfogainLoss 4x3 4 2x2:
    4 values | 3×3
InfogainLoss 4x3 4 3x3: infogain_loss_param { axis: 2 }
    axis 2 | -2 to 1
InfogainLoss 4x3 4: infogain_loss_param { source: 'none.bin' }
    none.bin

Input -> 3: input_param { shape { dim: 2 } shape { dim: 3 } }
    got 2 | 1 or 3
Input: input_param { shape { dim: -2 } }
    -2 | no negative axis
Parameter: parameter_param { shape { dim: -2 } }
    -2 | no negative axis
DummyData -> 3: dummy_data_param { shape { dim: 2 } shape { dim: 2 } }
    got 2 | 1 or 3
DummyData: dummy_data_param { shape { dim: 2 } data_filler {} data_filler {} }
    data_filler | got 2 | expected 1
DummyData: dummy_data_param { shape { dim: 2 } num: 3 }
    shape and num | only shape
DummyData: dummy_data_param { num: 3 }
    channels | got 0 | expected 1
DummyData: dummy_data_param { shape { dim: 2 } data_filler { type: 'bilinear' } }
    bilinear | shape 2 | four axes
MemoryData -> 2: memory_data_param { batch_size: 1 channels: 1 height: 1 }
    width | expected
Data:
    source | expected
Data: data_param { source: 'none' batch_size: 1 backend: LMDB }
    none
Data: data_param { source: 'none' batch_size: 0 }
    batch_size=0 | more than 0
Data: data_param { source: 'x' batch_size: 1 prefetch: 0 }
    prefetch=0 | from 1 to 1000
ImageData:
    source | expected
ImageData: image_data_param { source: 'none' }
    none
ImageData: image_data_param { source: 'none' new_height: 9 new_width: 4294967295 }
    new_width=4294967295 | from 0 to 16384
ImageData: image_data_param { source: 'none' new_height: 2 }
    new_width | got | expected
HDF5Data:
    source | expected
HDF5Data: hdf5_data_param { source: 'none' batch_size: 1 }
    none
HDF5Data: hdf5_data_param { source: 'none' batch_size: 1 } transform_param { scale: 2 }
    transform_param
HDF5Output 4x3 4 -> 0:
    file_name must be set | hdf5_output_param
HDF5Output 4x3 4 -> 0: hdf5_output_param { file_name: 'none/x.h5' }
    none/x.h5
HDF5Output 4x3 3 -> 0: hdf5_output_param { file_name: 'x.h5' }
    4 and 3 | the same
WindowData -> 2:
    source | expected
WindowData -> 2: window_data_param { source: 'none' batch_size: 1 fg_fraction: nan }
    fg_fraction=nan | from 0 to 1
WindowData -> 2: window_data_param { source: 'none' batch_size: 1 }
    crop_size 0 | more than
WindowData -> 2: window_data_param { source: 'none' batch_size: 1 crop_mode: 'round' }
    crop_mode='round' | warp, square
Python 4x3:
    module is missing | python_param
Python 4x3: python_param { module: 'cafx_layer_python' }
    layer is missing | python_param
Python 4x3: python_param { module: 'no_such_module' layer: 'X' }
    no_such_module
Python 4x3: python_param { module: 'cafx_layer_python' layer: 'Nope' }
    'Nope' | expected
"""
"""Two lines a layer: its type, its bottoms' shapes, `-> tops` where not one, and its options; then what
the error says."""

CANNOT_BE_WRONG = {
    "AbsVal", "BNLL", "ELU", "Power", "ReLU", "Sigmoid", "Silence", "Split", "Swish", "TanH", "Threshold",
}  # fmt: skip
"""Types that take any bottom and any value of their options."""


@attrs.frozen
class Wrong:
    """A layer that cannot be built, and what the error must say."""

    type: str
    bottoms: list[list[str]]
    tops: int
    options: str
    says: list[str]

    @classmethod
    def read(cls, layer: str, says: str) -> Wrong:
        """From two lines of the table."""
        parts = re.fullmatch(r"(\w+)((?: [\dx]+| scalar)*)(?: -> (\d))?: ?(.*)", layer)
        assert parts, layer
        shapes = [re.findall(r"\d+", shape) for shape in parts[2].split()]
        return cls(parts[1], shapes, int(parts[3] or 1), parts[4], says.strip().split(" | "))

    @property
    def prototxt(self) -> str:
        """A net of inputs and the layer, a line each."""
        lines = [
            f'layer {{ name: "b{i}" type: "Input" top: "b{i}" input_param {{ shape {{ '
            f"{' '.join(f'dim: {length}' for length in shape)} }} }} }}"
            for i, shape in enumerate(self.bottoms)
        ]
        bottoms = " ".join(f'bottom: "b{i}"' for i in range(len(self.bottoms)))
        tops = " ".join(f'top: "t{i}"' for i in range(self.tops))
        lines.append(f'layer {{ name: "{NAME}" type: "{self.type}" {bottoms} {tops} {self.options} }}')
        return "\n".join(lines)


LINES = [line for line in TABLE.splitlines() if line]
CASES = [Wrong.read(*pair) for pair in zip(LINES[::2], LINES[1::2], strict=True)]


@pytest.mark.parametrize("case", CASES, ids=LINES[::2])
def test_a_wrong_layer_is_refused(case: Wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(case.prototxt, "utf-8")
    with pytest.raises(CafxError) as caught:
        Net("net.prototxt", Phase.TRAIN, engine="numpy")
    error, line = str(caught.value), len(case.bottoms) + 1
    assert error.startswith(f"net.prototxt:{line}: layer '{NAME}' ({case.type}): ")
    assert [words for words in case.says if words not in error] == [], error


def test_every_type_that_can_be_wrong_is_in_the_table() -> None:
    assert {case.type for case in CASES} | CANNOT_BE_WRONG == set(registry().names("layer"))
