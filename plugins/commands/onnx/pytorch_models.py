"""Models in plain PyTorch, with random weights, exported to ONNX: python pytorch_models.py FOLDER MODEL….

It runs in an environment of its own with torch and onnxscript, neither of which the project depends on. For each
model it writes MODEL-17.onnx (TorchScript's exporter, batch normalisation kept), MODEL-21.onnx (torch.export's) and
MODEL.npz with an input and the model's output.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

CLASSES = 40
SIZE = {"alexnet": 127, "squeezenet": 129}
SIDE = 96


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, pad: int = 0, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, pad, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


class AlexNet(nn.Module):
    """Krizhevsky 2014, with adaptive pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 3 * 3, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Linear(512, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.classifier(torch.flatten(self.features(x), 1))


class VGG16(nn.Module):
    """Simonyan and Zisserman 2014, configuration D."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
            if outputs:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
            else:
                layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 3 * 3, 256), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(256, CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))


class Residual(nn.Module):
    """A basic or bottleneck block."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = width * 4 if bottleneck else width
        if bottleneck:
            self.body = nn.Sequential(
                conv(inputs, width, 1), conv(width, width, 3, stride, 1), conv(width, outputs, 1)[:2]
            )
        else:
            self.body = nn.Sequential(conv(inputs, width, 3, stride, 1), conv(width, width, 3, 1, 1)[:2])
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else conv(inputs, outputs, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:
        """The sum of body and shortcut."""
        return torch.relu(self.body(x) + self.shortcut(x))


class ResNet(nn.Module):
    """He et al. 2015."""

    def __init__(self, blocks: tuple[int, ...], bottleneck: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(3, 64, 7, 2, 3), nn.MaxPool2d(3, 2, 1)]
        inputs = 64
        for stage, count in enumerate(blocks):
            for index in range(count):
                width = 64 << stage
                layers.append(Residual(inputs, width, 2 if stage and not index else 1, bottleneck))
                inputs = width * 4 if bottleneck else width
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.fc(torch.flatten(self.features(x), 1))


class Fire(nn.Module):
    """Squeeze and expand."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.one, self.three = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Both expansions, stacked."""
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.one(x)), torch.relu(self.three(x))], 1)


class SqueezeNet(nn.Module):
    """Iandola et al. 2016, version 1.0."""

    def __init__(self) -> None:
        super().__init__()
        pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)  # noqa: E731
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, 2),
            nn.ReLU(inplace=True),
            pool(),
            Fire(96, 16, 64),
            Fire(128, 16, 64),
            Fire(128, 32, 128),
            pool(),
            Fire(256, 32, 128),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            pool(),
            Fire(512, 64, 256),
            nn.Dropout(),
            nn.Conv2d(512, CLASSES, 1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return torch.flatten(self.features(x), 1)


class Inverted(nn.Module):
    """MobileNetV2's inverted residual."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        width = inputs * expand
        self.adds = stride == 1 and inputs == outputs
        six = lambda *args: nn.Sequential(conv(*args)[:2], nn.ReLU6(inplace=True))  # noqa: E731
        layers = [six(inputs, width, 1)] if expand > 1 else []
        self.body = nn.Sequential(*layers, six(width, width, 3, stride, 1, width), conv(width, outputs, 1)[:2])

    def forward(self, x: Tensor) -> Tensor:
        """Body, with a shortcut where shapes allow."""
        return x + self.body(x) if self.adds else self.body(x)


class MobileNetV2(nn.Module):
    """Sandler et al. 2018."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv(3, 32, 3, 2, 1)]
        inputs = 32
        settings = (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        )
        for expand, outputs, count, stride in settings:
            for index in range(count):
                layers.append(Inverted(inputs, outputs, 1 if index else stride, expand))
                inputs = outputs
        self.features = nn.Sequential(*layers, conv(inputs, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        return self.classifier(self.features(x).mean([2, 3]))


class Inception(nn.Module):
    """GoogLeNet's module."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = widths
        self.branches = nn.ModuleList(
            [
                conv(inputs, one, 1),
                nn.Sequential(conv(inputs, reduce3, 1), conv(reduce3, three, 3, 1, 1)),
                nn.Sequential(conv(inputs, reduce5, 1), conv(reduce5, five, 5, 1, 2)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv(inputs, pooled, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """All branches, stacked."""
        return torch.cat([branch(x) for branch in self.branches], 1)


class GoogLeNet(nn.Module):
    """Szegedy et al. 2014, with batch normalisation in place of local response normalisation."""

    def __init__(self) -> None:
        super().__init__()
        pool = lambda kernel=3: nn.MaxPool2d(kernel, 2, ceil_mode=True)  # noqa: E731
        self.features = nn.Sequential(
            conv(3, 64, 7, 2, 3),
            pool(),
            conv(64, 64, 1),
            conv(64, 192, 3, 1, 1),
            pool(),
            Inception(192, (64, 96, 128, 16, 32, 32)),
            Inception(256, (128, 128, 192, 32, 96, 64)),
            pool(),
            Inception(480, (192, 96, 208, 16, 48, 64)),
            Inception(512, (160, 112, 224, 24, 64, 64)),
            Inception(512, (128, 128, 256, 24, 64, 64)),
            Inception(512, (112, 144, 288, 32, 64, 64)),
            Inception(528, (256, 160, 320, 32, 128, 128)),
            pool(2),
            Inception(832, (256, 160, 320, 32, 128, 128)),
            Inception(832, (384, 192, 384, 48, 128, 128)),
            nn.AvgPool2d(3, 1),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(1024, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities."""
        return torch.softmax(self.features(x), 1)


MODELS = {
    "alexnet": AlexNet,
    "vgg16": VGG16,
    "resnet18": lambda: ResNet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: ResNet((3, 4, 6, 3), bottleneck=True),
    "squeezenet": SqueezeNet,
    "mobilenet_v2": MobileNetV2,
    "googlenet": GoogLeNet,
}


def randomise(model: nn.Module) -> None:
    """Statistics and scales of batch normalisation other than 0 and 1."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 1.5)):
                nn.init.uniform_(values, low, high)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)


def write(name: str, folder: Path) -> None:
    """Export one model in both ways, and run it."""
    torch.manual_seed(1701)
    model = MODELS[name]()
    randomise(model)
    model.eval()
    side = SIZE.get(name, SIDE)
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        np.savez(folder / f"{name}.npz", x=x.numpy(), y=model(x).numpy())
    kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    names = {"input_names": ["data"], "output_names": ["scores"]}
    old = {"opset_version": 17, "dynamo": False, "dynamic_axes": {"data": {0: "N"}, "scores": {0: "N"}}}
    torch.onnx.export(model, (x,), str(folder / f"{name}-17.onnx"), **old, **kept, **names)
    new = {"opset_version": 21, "dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("N")},), "external_data": False}
    torch.onnx.export(model, (x,), str(folder / f"{name}-21.onnx"), **new, **names)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    for each in sys.argv[2:] or MODELS:
        write(each, Path(sys.argv[1]))
        print(each, flush=True)
