"""PSPNet-50."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import MSRA, begin, constant, convolved, dropped, pooled
from cafx_models.resnet import DEPTHS, EXPANSION, FIRST_WIDTH

SIDE = 473
CLASSES = 150
IGNORED = 255
CELLS = 8
"""Pixels per cell of the last features."""
BINS = (1, 2, 3, 6)
DILATIONS = (1, 1, 2, 4)
PYRAMID_WIDTH = 512
ONCE, TENFOLD = 1, 10
"""Learning rate multipliers of the pretrained part and of the rest."""


def pspnet50(
    net: NetSpec | None = None, *, batch: int = 1, classes: int = CLASSES, train: bool = False, side: int = SIDE
) -> NetSpec:
    """PSPNet-50: a dilated ResNet-50 whose features are pooled in 1, 4, 9 and 36 regions.

    Args:
        net: a NetSpec with the tops ``data`` and, for training, ``label``, a class per pixel; None for a new one.
        batch: images per batch, of a new net.
        classes: number of classes; the label 255 is ignored.
        train: end in the loss, and train the batch normalisation; otherwise end in the top ``conv6_interp``.
        side: height and width of an image: 8 cells + 1 pixels, with a number of cells that 6 divides after adding 1.

    Source: Zhao et al., "Pyramid Scene Parsing Network", 2017; as hszhao/PSPNet's pspnet50_ADE20K_473.
    """
    net = begin(net, "pspnet50", (3, side, side), batch, (1, side, side) if train else None)
    x, frozen = net.data, not train
    for index, (width, stride) in enumerate(((64, 2), (64, 1), (128, 1)), 1):
        name = f"conv1_{index}_3x3" + ("_s2" if stride == 2 else "")
        x = _conv_norm(net, name, x, width, 3, frozen, relu=True, pad=1, stride=stride)
    x = pooled(net, "pool1_3x3_s2", x, 3, 2, pad=1)
    for stage, (depth, dilation) in enumerate(zip(DEPTHS, DILATIONS, strict=True), 2):
        for index in range(1, depth + 1):
            stride = 2 if (stage, index) == (3, 1) else 1
            name, width = f"conv{stage}_{index}", FIRST_WIDTH << (stage - 2)
            x = _block(net, name, x, width, frozen, stride=stride, dilation=dilation, first=index == 1)
    x = _pyramid(net, x, (side - 1) // CELLS + 1, frozen)
    x = _conv_norm(net, "conv5_4", x, PYRAMID_WIDTH, 3, frozen, relu=True, rate=TENFOLD, pad=1)
    x = dropped(net, "conv5_4/dropout", x, 0.1)
    x = convolved(net, "conv6", x, classes, 1, weights=MSRA, param=_multipliers(10, 20))
    net.conv6_interp = L.Interp(x, zoom_factor=CELLS)
    if train:
        net.loss = L.SoftmaxWithLoss(net.conv6_interp, net.label, loss_param={"ignore_label": IGNORED})
    return net


def _block(
    net: NetSpec, name: str, bottom: Any, width: int, frozen: bool, *, stride: int, dilation: int, first: bool
) -> Any:
    """A bottleneck of ResNet with a dilated 3×3 convolution."""
    wide = width * EXPANSION
    options = {"pad": dilation, "dilation": dilation} if dilation > 1 else {"pad": 1}
    x = _conv_norm(net, f"{name}_1x1_reduce", bottom, width, 1, frozen, relu=True, stride=stride)
    x = _conv_norm(net, f"{name}_3x3", x, width, 3, frozen, relu=True, **options)
    x = _conv_norm(net, f"{name}_1x1_increase", x, wide, 1, frozen)
    shortcut = _conv_norm(net, f"{name}_1x1_proj", bottom, wide, 1, frozen, stride=stride) if first else bottom
    net[name] = L.Eltwise(shortcut, x)
    net[f"{name}/relu"] = L.ReLU(net[name], in_place=True)
    return net[f"{name}/relu"]


def _pyramid(net: NetSpec, bottom: Any, cells: int, frozen: bool) -> Any:
    """The features and, for each number of bins, their averages over bins×bins regions, interpolated."""
    tops = [bottom]
    for bins in reversed(BINS):
        name, size = f"conv5_3_pool{bins}", cells // bins
        x = pooled(net, name, bottom, size, size, pool="AVE")
        x = _conv_norm(net, f"{name}_conv", x, PYRAMID_WIDTH, 1, frozen, relu=True, rate=TENFOLD)
        net[f"{name}_interp"] = L.Interp(x, height=cells, width=cells)
        tops.append(net[f"{name}_interp"])
    net.conv5_3_concat = L.Concat(*tops)
    return net.conv5_3_concat


def _conv_norm(
    net: NetSpec,
    name: str,
    bottom: Any,
    outputs: int,
    kernel: int,
    frozen: bool,
    *,
    relu: bool = False,
    rate: float = ONCE,
    **options: Any,
) -> Any:
    non_default = {key: value for key, value in options.items() if (key, value) != ("stride", 1)}
    x = convolved(net, name, bottom, outputs, kernel, weights=MSRA, bias=None, param=_multipliers(rate), **non_default)
    param = [{"lr_mult": each, "decay_mult": 0} for each in (rate, rate, 0, 0)]
    fillers = {"slope_filler": constant(1), "bias_filler": constant(0)}
    net[f"{name}/bn"] = L.BN(x, in_place=True, frozen=frozen, momentum=0.95, param=param, **fillers)
    if not relu:
        return net[f"{name}/bn"]
    net[f"{name}/relu"] = L.ReLU(net[f"{name}/bn"], in_place=True)
    return net[f"{name}/relu"]


def _multipliers(*rates: float) -> Sequence[dict[str, float]]:
    return [{"lr_mult": rate, "decay_mult": 1} for rate in rates]
