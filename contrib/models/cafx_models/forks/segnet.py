"""SegNet, in the basic form and in that of VGG-16."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx_models.parts import MSRA, begin, constant, convolved
from cafx_models.vgg import VGG16, WIDTHS

if TYPE_CHECKING:
    from cafx.conformance.kinds.model import ModelCase

IMAGE = (360, 480)
CLASSES, IGNORED = 11, 11
CAMVID = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614]
"""Weights of CamVid's classes: median frequency over their frequency."""
BASIC_STAGES, BASIC_WIDTH, BASIC_KERNEL = 4, 64, 7


def segnet_basic(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = CLASSES,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """SegNet-Basic: four 7×7 convolutions that pool, and four that undo the pooling where the maxima were.

    Args:
        net: a NetSpec with the tops ``data`` and, for training, ``label``, a class per pixel; None for a new one.
        batch: images per batch, of a new net.
        classes: number of classes; the label ``classes`` is ignored.
        train: end in the loss and accuracy; otherwise in the top ``prob``.
        image: height and width of an image.

    Source: Badrinarayanan et al., "SegNet", 2015; alexgkendall/SegNet-Tutorial.
    """
    net = begin(net, "segnet", (3, *image), batch, (1, *image) if train else None)
    net.norm = L.LRN(net.data, local_size=5, alpha=0.0001, beta=0.75)
    x, masks, sizes = net.norm, [], [image]
    for stage in range(1, BASIC_STAGES + 1):
        x = _normalised(net, f"conv{stage}", x, BASIC_WIDTH, BASIC_KERNEL, relu=f"relu{stage}")
        x, mask = _halved(net, stage, x)
        masks.append(mask)
        sizes.append(_half(sizes[-1]))
    for stage in reversed(range(1, BASIC_STAGES + 1)):
        name = f"upsample{stage}"
        x = _doubled(net, name, name, x, masks[stage - 1], sizes[stage - 1])
        x = _normalised(net, f"conv_decode{stage}", x, BASIC_WIDTH, BASIC_KERNEL)
    return _segmented(net, convolved(net, "conv_classifier", x, classes, 1, weights=MSRA), classes, train)


def segnet(
    net: NetSpec | None = None,
    *,
    batch: int = 1,
    classes: int = CLASSES,
    train: bool = False,
    image: tuple[int, int] = IMAGE,
) -> NetSpec:
    """SegNet: the thirteen convolutions of VGG-16, and thirteen that undo its pooling.

    Args:
        net, batch, classes, train, image: see `segnet_basic`.

    Source: Badrinarayanan et al., "SegNet", 2015; alexgkendall/SegNet-Tutorial.
    """
    net = begin(net, "VGG_ILSVRC_16_layer", (3, *image), batch, (1, *image) if train else None)
    x, masks, sizes = net.data, [], [image]
    for stage, (depth, width) in enumerate(zip(VGG16, WIDTHS, strict=True), 1):
        for index in range(1, depth + 1):
            x = _normalised(net, f"conv{stage}_{index}", x, width, 3, relu=f"relu{stage}_{index}")
        x, mask = _halved(net, stage, x)
        masks.append(mask)
        sizes.append(_half(sizes[-1]))
    for stage in reversed(range(1, len(VGG16) + 1)):
        x = _doubled(net, f"upsample{stage}", f"pool{stage}_D", x, masks[stage - 1], sizes[stage - 1])
        for index in reversed(range(1, VGG16[stage - 1] + 1)):
            if (stage, index) == (1, 1):
                break
            width = WIDTHS[max(0, stage - 2)] if index == 1 else WIDTHS[stage - 1]
            x = _normalised(net, f"conv{stage}_{index}_D", x, width, 3, relu=f"relu{stage}_{index}_D")
    return _segmented(net, convolved(net, "conv1_1_D", x, classes, 3, weights=MSRA, pad=1), classes, train)


def _normalised(net: NetSpec, name: str, bottom: Any, outputs: int, kernel: int, *, relu: str = "") -> Any:
    x = convolved(net, name, bottom, outputs, kernel, weights=MSRA, pad=kernel // 2)
    net[f"{name}_bn"] = L.BN(x, in_place=True, scale_filler=constant(1), shift_filler=constant(0.001))
    if not relu:
        return net[f"{name}_bn"]
    net[relu] = L.ReLU(net[f"{name}_bn"], in_place=True)
    return net[relu]


def _half(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def _halved(net: NetSpec, stage: int, bottom: Any) -> tuple[Any, Any]:
    names = f"pool{stage}", f"pool{stage}_mask"
    net[names[0]], net[names[1]] = L.Pooling(bottom, pool="MAX", kernel_size=2, stride=2, ntop=2)
    return net[names[0]], net[names[1]]


def _doubled(net: NetSpec, layer: str, name: str, bottom: Any, mask: Any, size: tuple[int, int]) -> Any:
    """The maxima where they were, in an image of the size before pooling."""
    pads = {f"pad_out_{side}": True for side, length in zip("hw", size, strict=True) if length % 2}
    named = {} if layer == name else {"name": layer}
    net[name] = L.Upsample(bottom, mask, scale=2, **pads, **named)
    return net[name]


def _segmented(net: NetSpec, scores: Any, classes: int, train: bool) -> NetSpec:
    if not train:
        net.prob = L.Softmax(scores)
        return net
    loss: dict[str, Any] = {"ignore_label": classes}
    if classes == CLASSES:
        loss |= {"weight_by_label_freqs": True, "class_weighting": CAMVID}
    net.loss = L.SoftmaxWithLoss(scores, net.label, loss_param=loss)
    net.accuracy = L.Accuracy(scores, net.label, ignore_label=classes)
    return net


def cases() -> Iterable[ModelCase]:
    """A net that runs in a moment."""
    from cafx.conformance.kinds.model import ModelCase

    yield ModelCase("small", {"image": (45, 60)}, of="segnet_basic")
