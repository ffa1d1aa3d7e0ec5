"""The nets that the benchmarks train, as prototxt text: published architectures on synthetic data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MSRA = 'weight_filler { type: "msra" }'
LEARN = "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
LEARN_WEIGHTS = "param { lr_mult: 1 decay_mult: 1 }"


class Text:
    """A net under construction; each method adds layers and returns the name of their top.

    Args:
        shape: the shape of the input ``data``.
        classes: the number of classes of the input ``label``.
        source: layers that make ``data`` and ``label``; default: two Input layers.
    """

    def __init__(self, shape: Sequence[int], classes: int, source: str = "") -> None:
        self.classes = classes
        self.lines = [source] if source else [_input("data", shape), _input("label", shape[:1])]

    def add(self, name: str, kind: str, bottoms: Iterable[str], top: str, rest: str = "") -> str:
        """A layer of any type."""
        read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        self.lines.append(f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top}" {rest} }}')
        return top

    def conv(
        self,
        name: str,
        bottom: str,
        outputs: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        group: int = 1,
        relu: bool = True,
        bias: bool = True,
    ) -> str:
        """A convolution, by default with an in-place ReLU."""
        window = f"kernel_size: {kernel} stride: {stride} pad: {pad} group: {group}"
        term = "" if bias else "bias_term: false"
        rest = f"convolution_param {{ num_output: {outputs} {window} {term} {MSRA} }}"
        self.add(name, "Convolution", [bottom], name, (LEARN if bias else LEARN_WEIGHTS) + rest)
        return self.relu(name) if relu else name

    def relu(self, blob: str) -> str:
        """An in-place ReLU."""
        return self.add(f"relu_{blob}", "ReLU", [blob], blob)

    def pool(self, name: str, bottom: str, kernel: int, stride: int, pad: int = 0, method: str = "MAX") -> str:
        """A pooling layer; kernel 0 means global pooling."""
        window = f"kernel_size: {kernel} stride: {stride} pad: {pad}" if kernel else "global_pooling: true"
        return self.add(name, "Pooling", [bottom], name, f"pooling_param {{ pool: {method} {window} }}")

    def lrn(self, name: str, bottom: str) -> str:
        """Local response normalisation with AlexNet's options."""
        return self.add(name, "LRN", [bottom], name, "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")

    def dense(self, name: str, bottom: str, outputs: int, relu: bool = True, drop: float = 0.0) -> str:
        """An inner product, with in-place ReLU and dropout if requested."""
        filler = f"inner_product_param {{ num_output: {outputs} {MSRA} }}"
        self.add(name, "InnerProduct", [bottom], name, LEARN + filler)
        if relu:
            self.relu(name)
        return self.drop(name, drop) if drop else name

    def drop(self, blob: str, ratio: float) -> str:
        """In-place dropout."""
        return self.add(f"drop_{blob}", "Dropout", [blob], blob, f"dropout_param {{ dropout_ratio: {ratio} }}")

    def norm(
        self,
        name: str,
        bottom: str,
        outputs: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        relu: bool = True,
        group: int = 1,
    ) -> str:
        """A convolution without bias, followed by in-place BatchNorm and Scale."""
        self.conv(name, bottom, outputs, kernel, stride, pad, group, relu=False, bias=False)
        return self.normalised(name, name, relu)

    def normalised(self, name: str, bottom: str, relu: bool = True) -> str:
        """BatchNorm and Scale of any bottom, by default with an in-place ReLU."""
        self.add(f"bn_{name}", "BatchNorm", [bottom], name)
        self.add(f"scale_{name}", "Scale", [name], name, "scale_param { bias_term: true }")
        return self.relu(name) if relu else name

    def loss(self, name: str, bottom: str, weight: float = 1.0) -> str:
        """SoftmaxWithLoss of the scores and the labels."""
        return self.add(name, "SoftmaxWithLoss", [bottom, "label"], name, f"loss_weight: {weight}")

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _input(name: str, shape: Sequence[int]) -> str:
    dims = " ".join(f"dim: {length}" for length in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}'


def lenet(batch: int = 64, source: str = "") -> Text:
    """LeNet as in Caffe's MNIST example."""
    net = Text((batch, 1, 28, 28), 10, source)
    blob = net.pool("pool1", net.conv("conv1", "data", 20, 5, relu=False), 2, 2)
    blob = net.pool("pool2", net.conv("conv2", blob, 50, 5, relu=False), 2, 2)
    net.loss("loss", net.dense("ip2", net.dense("ip1", blob, 500), 10, relu=False))
    return net


def caffenet(batch: int = 32, source: str = "") -> Text:
    """CaffeNet: AlexNet with pooling before normalisation."""
    net = Text((batch, 3, 227, 227), 1000, source)
    blob = net.lrn("norm1", net.pool("pool1", net.conv("conv1", "data", 96, 11, 4), 3, 2))
    blob = net.lrn("norm2", net.pool("pool2", net.conv("conv2", blob, 256, 5, pad=2, group=2), 3, 2))
    blob = net.conv("conv3", blob, 384, 3, pad=1)
    blob = net.conv("conv4", blob, 384, 3, pad=1, group=2)
    blob = net.pool("pool5", net.conv("conv5", blob, 256, 3, pad=1, group=2), 3, 2)
    blob = net.dense("fc7", net.dense("fc6", blob, 4096, drop=0.5), 4096, drop=0.5)
    net.loss("loss", net.dense("fc8", blob, 1000, relu=False))
    return net


INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of the 1×1, reduced and full 3×3, reduced and full 5×5, and pooled branches."""


def _inception(net: Text, name: str, bottom: str) -> str:
    one, three_in, three, five_in, five, pool = INCEPTIONS[name]
    parts = [
        net.conv(f"i{name}_1x1", bottom, one, 1),
        net.conv(f"i{name}_3x3", net.conv(f"i{name}_3x3r", bottom, three_in, 1), three, 3, pad=1),
        net.conv(f"i{name}_5x5", net.conv(f"i{name}_5x5r", bottom, five_in, 1), five, 5, pad=2),
        net.conv(f"i{name}_proj", net.pool(f"i{name}_pool", bottom, 3, 1, 1), pool, 1),
    ]
    return net.add(f"i{name}", "Concat", parts, f"i{name}")


def _side(net: Text, name: str, bottom: str) -> None:
    blob = net.conv(f"{name}_conv", net.pool(f"{name}_pool", bottom, 5, 3, method="AVE"), 128, 1)
    blob = net.dense(f"{name}_fc", blob, 1024, drop=0.7)
    net.loss(f"{name}_loss", net.dense(f"{name}_out", blob, 1000, relu=False), 0.3)


def googlenet(batch: int = 16) -> Text:
    """GoogLeNet with both auxiliary classifiers."""
    net = Text((batch, 3, 224, 224), 1000)
    blob = net.lrn("norm1", net.pool("pool1", net.conv("conv1", "data", 64, 7, 2, 3), 3, 2))
    blob = net.conv("conv2", net.conv("conv2r", blob, 64, 1), 192, 3, pad=1)
    blob = net.pool("pool2", net.lrn("norm2", blob), 3, 2)
    for name in INCEPTIONS:
        blob = _inception(net, name, blob)
        if name in ("3b", "4e"):
            blob = net.pool(f"pool_{name}", blob, 3, 2)
        if name in ("4a", "4d"):
            _side(net, f"side{name}", blob)
    blob = net.drop(net.pool("pool5", blob, 0, 1, method="AVE"), 0.4)
    net.loss("loss", net.dense("fc", blob, 1000, relu=False))
    return net


def resnet50(batch: int = 8) -> Text:
    """ResNet-50 with the stride in the first convolution of a block."""
    net = Text((batch, 3, 224, 224), 1000)
    blob = net.pool("pool1", net.norm("conv1", "data", 64, 7, 2, 3), 3, 2)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(blocks):
            name, stride = f"r{stage}{'abcdef'[block]}", 2 if stage > 2 and block == 0 else 1
            short = net.norm(f"{name}_1", blob, 4 * width, 1, stride, relu=False) if block == 0 else blob
            inner = net.norm(f"{name}_2a", blob, width, 1, stride)
            inner = net.norm(f"{name}_2c", net.norm(f"{name}_2b", inner, width, 3, pad=1), 4 * width, 1, relu=False)
            blob = net.relu(net.add(name, "Eltwise", [short, inner], name))
    net.loss("loss", net.dense("fc", net.pool("pool5", blob, 0, 1, method="AVE"), 1000, relu=False))
    return net


def vgg16(batch: int = 4) -> Text:
    """VGG-16."""
    net = Text((batch, 3, 224, 224), 1000)
    blob = "data"
    for stage, (count, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for index in range(1, count + 1):
            blob = net.conv(f"conv{stage}_{index}", blob, width, 3, pad=1)
        blob = net.pool(f"pool{stage}", blob, 2, 2)
    blob = net.dense("fc7", net.dense("fc6", blob, 4096, drop=0.5), 4096, drop=0.5)
    net.loss("loss", net.dense("fc8", blob, 1000, relu=False))
    return net


def squeezenet(batch: int = 16) -> Text:
    """SqueezeNet 1.0."""
    net = Text((batch, 3, 227, 227), 1000)
    blob = net.pool("pool1", net.conv("conv1", "data", 96, 7, 2), 3, 2)
    for number, (squeezed, expanded) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)), 2
    ):
        name = f"fire{number}"
        blob = net.conv(f"{name}_s", blob, squeezed, 1)
        parts = [net.conv(f"{name}_1", blob, expanded, 1), net.conv(f"{name}_3", blob, expanded, 3, pad=1)]
        blob = net.add(name, "Concat", parts, name)
        if number in (4, 8):
            blob = net.pool(f"pool{number}", blob, 3, 2)
    blob = net.conv("conv10", net.drop(blob, 0.5), 1000, 1)
    net.loss("loss", net.pool("pool10", blob, 0, 1, method="AVE"))
    return net


def mobilenet_v1(batch: int = 16) -> Text:
    """MobileNet: 3×3 convolutions of each channel alone, and 1×1 convolutions."""
    net = Text((batch, 3, 224, 224), 1000)
    blob, channels = net.norm("conv1", "data", 32, 3, 2, 1), 32
    widths = (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
    for number, width in enumerate(widths, 2):
        stride = 2 if number in (3, 5, 7, 13) else 1
        blob = net.norm(f"conv{number}_dw", blob, channels, 3, stride, 1, group=channels)
        blob, channels = net.norm(f"conv{number}", blob, width, 1), width
    net.loss("loss", net.dense("fc", net.pool("pool", blob, 0, 1, method="AVE"), 1000, relu=False))
    return net


def mobilenet_v2(batch: int = 16) -> Text:
    """MobileNetV2: inverted residuals (with ReLU, as its Caffe versions have it)."""
    net = Text((batch, 3, 224, 224), 1000)
    blob, channels = net.norm("conv1", "data", 32, 3, 2, 1), 32
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for stage, (factor, width, count, first) in enumerate(stages, 2):
        for block in range(count):
            name, stride, inner = f"b{stage}_{block}", first if block == 0 else 1, factor * channels
            wide = net.norm(f"{name}_e", blob, inner, 1) if factor > 1 else blob
            wide = net.norm(f"{name}_dw", wide, inner, 3, stride, 1, group=inner)
            out = net.norm(f"{name}_p", wide, width, 1, relu=False)
            same = stride == 1 and width == channels
            blob, channels = net.add(name, "Eltwise", [blob, out], name) if same else out, width
    blob = net.norm("conv_last", blob, 1280, 1)
    net.loss("loss", net.dense("fc", net.pool("pool", blob, 0, 1, method="AVE"), 1000, relu=False))
    return net


def shufflenet(batch: int = 16) -> Text:
    """ShuffleNet with 3 groups."""
    net, groups = Text((batch, 3, 224, 224), 1000), 3
    blob, channels = net.pool("pool1", net.norm("conv1", "data", 24, 3, 2, 1), 3, 2), 24
    for stage, (width, count) in enumerate(((240, 4), (480, 8), (960, 4)), 2):
        for block in range(count):
            name, inner, first = f"s{stage}_{block}", width // 4, 1 if channels == 24 else groups
            part = net.norm(f"{name}_1", blob, inner, 1, group=first)
            part = net.add(
                f"{name}_sh", "ShuffleChannel", [part], f"{name}_sh", f"shuffle_channel_param {{ group: {groups} }}"
            )
            stride = 2 if block == 0 else 1
            part = net.norm(f"{name}_dw", part, inner, 3, stride, 1, group=inner, relu=False)
            part = net.norm(f"{name}_2", part, width - channels * (block == 0), 1, group=groups, relu=False)
            if block == 0:
                parts = [net.pool(f"{name}_pool", blob, 3, 2, 0, method="AVE"), part]
                blob = net.relu(net.add(name, "Concat", parts, name))
            else:
                blob = net.relu(net.add(name, "Eltwise", [blob, part], name))
            channels = width
    net.loss("loss", net.dense("fc", net.pool("pool", blob, 0, 1, method="AVE"), 1000, relu=False))
    return net


def densenet121(batch: int = 8) -> Text:
    """DenseNet-121: each layer reads the tops of all layers of its block before it."""
    net, growth = Text((batch, 3, 224, 224), 1000), 32
    blob, channels = net.pool("pool1", net.norm("conv1", "data", 64, 7, 2, 3), 3, 2), 64
    for stage, count in enumerate((6, 12, 24, 16), 1):
        for layer in range(count):
            name = f"d{stage}_{layer}"
            part = net.conv(f"{name}_1", net.normalised(f"{name}_a", blob), 4 * growth, 1, relu=False, bias=False)
            part = net.conv(f"{name}_3", net.normalised(f"{name}_b", part), growth, 3, pad=1, relu=False, bias=False)
            blob, channels = net.add(name, "Concat", [blob, part], name), channels + growth
        blob = net.normalised(f"t{stage}", blob)
        if stage < 4:
            blob, channels = net.conv(f"t{stage}_c", blob, channels // 2, 1, relu=False, bias=False), channels // 2
            blob = net.pool(f"t{stage}_p", blob, 2, 2, method="AVE")
    net.loss("loss", net.dense("fc", net.pool("pool", blob, 0, 1, method="AVE"), 1000, relu=False))
    return net


MODELS = {
    "lenet": lenet,
    "caffenet": caffenet,
    "googlenet": googlenet,
    "resnet50": resnet50,
    "vgg16": vgg16,
    "squeezenet": squeezenet,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "shufflenet": shufflenet,
    "densenet121": densenet121,
}
