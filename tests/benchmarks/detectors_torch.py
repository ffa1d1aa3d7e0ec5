"""PyTorch's side of ``detectors_versus_torch.py``: SSD300 on VGG-16 and MobileNet-SSD, written in plain PyTorch."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from measuring import serve
from torch import nn
from torch.nn import functional

OVERLAP, NEGATIVES, NMS = 0.5, 3, 0.45
MOBILE_WIDTHS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
MOBILE_HALVED = (2, 4, 6, 12)


class Scaled(nn.Module):
    """Features divided by their norm over channels, times a factor per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, channels, 1, 1), 20.0))

    def forward(self, x: Any) -> Any:
        """The scaled features."""
        return functional.normalize(x, eps=1e-5) * self.weight


class Detector(nn.Module):
    """Stages whose results boxes are predicted from.

    Args:
        stages: the stages, each applied to the result of the one before.
        scaled: norms of the stages' results, by stage, for the predictions.
        widths: channels of the stages' results.
        boxes: boxes per cell of each stage.
        classes: number of classes, the background included.
        kernel: kernel size of the predicting convolutions.
    """

    def __init__(
        self,
        stages: list[nn.Module],
        scaled: dict[int, nn.Module],
        widths: Iterable[int],
        boxes: Iterable[int],
        classes: int,
        kernel: int,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.scaled = nn.ModuleDict({str(stage): each for stage, each in scaled.items()})
        pairs = list(zip(widths, boxes, strict=True))
        self.places = nn.ModuleList(nn.Conv2d(w, 4 * n, kernel, padding=kernel // 2) for w, n in pairs)
        self.scores = nn.ModuleList(nn.Conv2d(w, classes * n, kernel, padding=kernel // 2) for w, n in pairs)
        self.classes = classes

    def forward(self, x: Any) -> tuple[Any, Any]:
        """Predicted offsets, N×P×4, and scores, N×P×classes."""
        places, scores = [], []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            y = self.scaled[str(index)](x) if str(index) in self.scaled else x
            places.append(self.places[index](y).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
            scores.append(self.scores[index](y).permute(0, 2, 3, 1).reshape(len(x), -1, self.classes))
        return torch.cat(places, 1), torch.cat(scores, 1)


def vgg(classes: int) -> Detector:
    """SSD300 on VGG-16."""
    first: list[nn.Module] = []
    width = 3
    for depth, outputs in ((2, 64), (2, 128), (3, 256), (3, 512)):
        first += [nn.MaxPool2d(2, 2, ceil_mode=True)] if first else []
        for _ in range(depth):
            first += [nn.Conv2d(width, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            width = outputs
    second: list[nn.Module] = [nn.MaxPool2d(2, 2)]
    for _ in range(3):
        second += [nn.Conv2d(512, 512, 3, padding=1), nn.ReLU(inplace=True)]
    second += [nn.MaxPool2d(3, 1, 1), nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True)]
    second += [nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True)]
    stages: list[nn.Module] = [nn.Sequential(*first), nn.Sequential(*second)]
    width = 1024
    for narrow, wide, stride, padding in ((256, 512, 2, 1), (128, 256, 2, 1), (128, 256, 1, 0), (128, 256, 1, 0)):
        layers = [nn.Conv2d(width, narrow, 1), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(narrow, wide, 3, stride, padding), nn.ReLU(inplace=True)]
        stages.append(nn.Sequential(*layers))
        width = wide
    widths = (512, 1024, 512, 256, 256, 256)
    return Detector(stages, {0: Scaled(512)}, widths, (4, 6, 6, 6, 4, 4), classes, 3)


def mobile(classes: int, test: bool) -> Detector:
    """MobileNet-SSD; for inference, batch normalisation is part of the convolutions."""

    def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=test)
        return [layer, *([] if test else [nn.BatchNorm2d(outputs)]), nn.ReLU(inplace=True)]

    layers, stages, width = convolution(3, 32, 3, 2), [], 32
    for index, outputs in enumerate(MOBILE_WIDTHS, 1):
        layers += convolution(width, width, 3, 2 if index in MOBILE_HALVED else 1, width)
        layers += convolution(width, outputs, 1)
        width = outputs
        if index in (11, 13):
            stages.append(nn.Sequential(*layers))
            layers = []
    for narrow, wide in ((256, 512), (128, 256), (128, 256), (64, 128)):
        stages.append(nn.Sequential(*convolution(width, narrow, 1), *convolution(narrow, wide, 3, 2)))
        width = wide
    return Detector(stages, {}, (512, 1024, 512, 256, 256, 128), (3, 6, 6, 6, 6, 6), classes, 1)


def overlaps(one: Any, two: Any) -> Any:
    """Intersection over union of each box of ``one`` with each of ``two``."""
    low = torch.maximum(one[..., :, None, :2], two[..., None, :, :2])
    high = torch.minimum(one[..., :, None, 2:], two[..., None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1) for boxes in (one, two)]
    return common / (areas[0][..., :, None] + areas[1][..., None, :] - common).clamp(min=1e-12)


def centred(boxes: Any) -> tuple[Any, Any]:
    """Centres and sizes."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


class Loss:
    """Matching, hard negative mining, and the two losses.

    Args:
        priors, variances: P×4.
        labels: rows of the objects.
    """

    def __init__(self, priors: Any, variances: Any, labels: Any) -> None:
        self.priors, self.variances, self.labels = priors, variances, labels

    def target(self, objects: Any) -> tuple[Any, Any]:
        """The class of each prior, 0 for none, and the offsets of its object."""
        boxes = objects[:, 3:7]
        shared = overlaps(self.priors, boxes)
        best, chosen = shared.max(1)
        forced = shared.argmax(0)
        best[forced] = 2
        chosen[forced] = torch.arange(len(boxes))
        classes = torch.where(best >= OVERLAP, objects[chosen, 1].long(), 0)
        (centre, size), (prior_centre, prior_size) = centred(boxes[chosen]), centred(self.priors)
        offsets = torch.cat([(centre - prior_centre) / prior_size, torch.log(size / prior_size)], 1)
        return classes, offsets / self.variances

    def __call__(self, places: Any, scores: Any) -> Any:
        """The loss of a batch."""
        with torch.no_grad():
            found = [self.target(self.labels[self.labels[:, 0] == index]) for index in range(len(places))]
            classes, offsets = (torch.stack(each) for each in zip(*found, strict=True))
        positive = classes > 0
        count = positive.sum(1, keepdim=True)
        place_loss = functional.smooth_l1_loss(places[positive], offsets[positive], reduction="sum")
        losses = functional.cross_entropy(scores.flatten(0, 1), classes.flatten(), reduction="none").view_as(classes)
        with torch.no_grad():
            negative = losses.masked_fill(positive, 0).argsort(1, descending=True).argsort(1) < NEGATIVES * count
        return (place_loss + losses[positive | negative].sum()) / count.sum().clamp(min=1)


class Detections:
    """Decoding, and non-maximum suppression of all classes at once.

    Args:
        priors, variances: P×4.
        confidence: scores of detections are larger.
        top_k: boxes per class before suppression.
        keep: boxes per image after it.
    """

    def __init__(self, priors: Any, variances: Any, confidence: float, top_k: int, keep: int) -> None:
        self.centre, self.size = centred(priors)
        self.variances, self.confidence, self.top_k, self.keep = variances, confidence, top_k, keep

    def __call__(self, places: Any, scores: Any) -> Any:
        """The detections of each image."""
        probabilities = scores.softmax(-1)
        centre = self.centre + places[..., :2] * self.variances[:, :2] * self.size
        size = self.size * torch.exp(places[..., 2:] * self.variances[:, 2:])
        boxes = torch.cat([centre - size / 2, centre + size / 2], -1)
        return [self.image(*each) for each in zip(boxes, probabilities, strict=True)]

    def image(self, boxes: Any, probabilities: Any) -> Any:
        """Rows of class, score and corners of one image."""
        scores, order = probabilities[:, 1:].T.topk(min(self.top_k, len(boxes)), 1)
        alive = scores > self.confidence
        most = int(alive.sum(1).max())
        scores, order, alive = scores[:, :most], order[:, :most], alive[:, :most]
        chosen = boxes[order]
        near = overlaps(chosen, chosen) > NMS
        for index in range(most - 1):
            alive[:, index + 1 :] &= ~(near[:, index, index + 1 :] & alive[:, index : index + 1])
        classes, places = alive.nonzero(as_tuple=True)
        rows = torch.cat([classes[:, None] + 1, scores[alive][:, None], chosen[classes, places]], 1)
        return rows[rows[:, 1].argsort(descending=True)[: self.keep]]


def main() -> None:
    """Read the model from the first line of input and run it on request."""
    setup = json.loads(sys.stdin.readline())
    torch.set_num_threads(setup["threads"])
    torch.manual_seed(0)
    test, is_vgg = setup["test"], setup["model"] == "vgg_ssd300"
    net = vgg(setup["classes"]) if is_vgg else mobile(setup["classes"], test)
    data = torch.randn(setup["batch"], 3, setup["image"], setup["image"])
    if "channels_last" in setup["mode"]:
        net, data = net.to(memory_format=torch.channels_last), data.to(memory_format=torch.channels_last)
    priors, variances = (torch.tensor(each) for each in setup["priors"])
    run = torch.compile(net) if "compile" in setup["mode"] else net
    step = testing(net, run, data, priors, variances, is_vgg) if test else None
    serve(step or training(net, run, data, Loss(priors, variances, torch.tensor(setup["labels"]))))


def testing(net: Any, run: Any, data: Any, priors: Any, variances: Any, is_vgg: bool) -> Callable[[], None]:
    """A pass that gives detections."""
    net.eval()
    detections = Detections(priors, variances, *((0.01, 400, 200) if is_vgg else (0.25, 100, 100)))

    def step() -> None:
        with torch.inference_mode():
            detections(*run(data))

    return step


def training(net: Any, run: Any, data: Any, loss: Loss) -> Callable[[], None]:
    """An iteration of training."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(*run(data)).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
