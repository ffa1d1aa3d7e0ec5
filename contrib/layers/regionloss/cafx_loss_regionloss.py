"""RegionLoss: the loss of YOLO9000's regions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Message, Phase, message, option
from cafx_lib_yolo import Assigned, Grid, Objects, Overlap, YoloLoss, cell_anchors

if TYPE_CHECKING:
    from cafx.conformance import Case

W, OBJECTNESS, CLASSES = 2, 4, 5
WARM_UP, WARM_UP_SCALE = 12800, 0.01
"""Boxes are drawn to their anchors with this weight for so many images."""


@message("region_loss_param", 600)
class RegionLossParameter(Message):
    """Options of RegionLoss. Those said to be not looked at have no effect in the fork either."""

    side: int = option(1, "uint32", 13, doc="cells per side; not looked at: the bottom says it")
    num_class: int = option(2, "uint32", 20, doc="number of classes")
    bias_match: int = option(3, "uint32", 1, doc="1: compare objects with anchors; 0: with predicted sizes")
    coords: int = option(4, "uint32", 4, doc="coordinates of a box; only 4 is defined")
    num: int = option(5, "uint32", 5, doc="boxes per cell")
    softmax: int = option(6, "uint32", 1, doc="not looked at: classes go through a softmax")
    jitter: float = option(7, "float", 0.2, doc="not looked at")
    rescore: int = option(8, "uint32", 1, doc="1: the objectness learns the IoU; 0: 1, and small boxes weigh more")
    object_scale: float = option(9, "float", 1.0, doc="weight of the objectness of boxes that answer for an object")
    class_scale: float = option(10, "float", 1.0, doc="weight of the classes")
    noobject_scale: float = option(11, "float", 0.5, doc="weight of the objectness of other boxes")
    coord_scale: float = option(12, "float", 5.0, doc="weight of the boxes")
    absolute: int = option(13, "uint32", 1, doc="not looked at")
    thresh: float = option(14, "float", 0.2, doc="boxes that overlap an object by more are not taught to be background")
    random: int = option(15, "uint32", 1, doc="not looked at")
    biases: list[float] = option(16, "float", repeated=True, doc="width and height of each anchor in cells")
    softmax_tree: str = option(17, "string", "", doc="not looked at")
    class_map: str = option(18, "string", "", doc="not looked at")


class RegionLoss(YoloLoss):
    """Loss of YOLO9000's regions: L = Σ δ² / N, with δ per prediction.

    Of the ``num`` boxes in the cell of an object's centre, the one whose anchor (bias_match: 0: whose predicted size)
    is closest to the object's size by IoU answers for it. With p = σ(x), s = coord_scale, times 2 − area without
    ``rescore``: δ = s (p − target) p (1 − p) for x and y; s (value − target) for w and h;
    object_scale · (p − t) p (1 − p) for the objectness, t the IoU with the object or, without ``rescore``, 1;
    class_scale · (softmax − 1[the object's]) for the classes. For boxes that answer for no object, the objectness's
    δ is noobject_scale · p² (1 − p), or 0 where the IoU with an object exceeds ``thresh``. In TRAIN phase, during
    the first 12800 images, δ for their x, y, w, h is that of their cell's centre and anchor with s = 0.01. Of several
    objects at one box, the last counts. Values are those the fork reports.

    Bottoms: predictions N×(num·(5 + num_class))×H×W, for each box x, y, w, h, objectness, classes; labels, N×1×T×5:
    class from 0, centre x, centre y, width, height relative to the image, up to a row of zeros. Top: L, a scalar.
    Gradient: dx = δ dL / N, that of ½ squared errors and, for the classes, of cross entropy.

    Raises:
        CafxError: wrong shapes; biases do not fit num; coords is not 4; a label is not a class, a box not in the image.

    Source: Redmon and Farhadi, "YOLO9000", 2016; eric612/MobileNet-YOLO. Unlike the fork, each layer counts images
        by itself, and anchors may be fewer than five.
    """

    Parameter = RegionLossParameter
    options: RegionLossParameter
    keeps_state = True
    softmax = True
    images_seen = 0

    def make_grid(self, bottom: Blob) -> Grid:
        """A grid with anchors in units of cells."""
        self.classes = self.options.num_class
        return Grid.of(self, bottom, cell_anchors(self), CLASSES + self.classes)

    def background(self, objectness: Any, overlap: Any) -> Any:
        """δ = noobject_scale · p² (1 − p), or 0 near an object."""
        delta = self.options.noobject_scale * objectness * objectness * (1 - objectness)
        return delta if overlap is None else self.xp.where(overlap > self.options.thresh, 0, delta)

    def pull_to_anchors(self, predicted: Any, delta: Any) -> None:
        """δ towards the cell's centre and the anchor's size, while learning begins."""
        if self.phase != Phase.TRAIN or self.images_seen + self.grid.images > WARM_UP:
            return
        p = predicted[:, :, :W]
        delta[:, :, :W] = WARM_UP_SCALE * (p - 0.5) * p * (1 - p)
        delta[:, :, W:OBJECTNESS] = WARM_UP_SCALE * predicted[:, :, W:OBJECTNESS]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ δ² / N."""
        super().forward(bottom, top)
        if self.phase == Phase.TRAIN:
            self.images_seen = min(self.images_seen + self.grid.images, WARM_UP)

    def choose(self, objects: Objects) -> Any:
        """The box whose anchor, or predicted size, is closest to the object's size."""
        sizes: Any = self.grid.anchors
        if not self.options.bias_match:
            rows, columns = objects.cells(self.grid.height, self.grid.width)
            sizes = sizes * np.exp(self.predicted.host()[objects.images, :, W:OBJECTNESS, rows, columns])
        return np.maximum(objects.closest(sizes), 0)

    def answer(self, assigned: Assigned) -> Any:
        """δ of box, objectness and classes."""
        options, predicted, delta = self.options, assigned.predicted, assigned.delta
        area = assigned.boxes[:, 2:3] * assigned.boxes[:, 3:4]
        scale = options.coord_scale * (1 if options.rescore else 2 - area)
        delta[:, :OBJECTNESS] = scale * (predicted[:, :OBJECTNESS] - assigned.targets)
        delta[:, :W] *= predicted[:, :W] * (1 - predicted[:, :W])
        p = predicted[:, OBJECTNESS]
        target = Overlap(self.xp, assigned.boxes_predicted, assigned.boxes).iou if options.rescore else 1
        delta[:, OBJECTNESS] = options.object_scale * (p - target) * p * (1 - p)
        delta[:, CLASSES:] = options.class_scale * predicted[:, CLASSES:]
        delta[self.xp.arange(len(delta)), CLASSES + assigned.classes] -= options.class_scale
        return 0

    def state(self) -> dict[str, Any]:
        """The number of images of the warm-up."""
        return {"images_seen": self.images_seen}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue the warm-up."""
        self.images_seen = int(state.get("images_seen", 0))

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both matchings, with and without rescore, in and without the warm-up; several objects in a cell, none."""
        from cafx.conformance import Case, values

        skip = {"gradient-bottoms": "L is the fork's Σ δ², whose derivative is not δ; the tests check δ numerically"}
        options = {"num_class": 3, "num": 2, "biases": [0.7, 0.9, 2.4, 1.6], "coords": 4}
        x, labels = cls.example()
        yield Case("rescored", x, labels, options=options, skip=skip)
        unused = {
            "side": 4,
            "softmax": 1,
            "jitter": 0.3,
            "absolute": 0,
            "random": 0,
            "softmax_tree": "a",
            "class_map": "b",
        }
        scales = {"object_scale": 2.0, "class_scale": 0.7, "noobject_scale": 1.5, "coord_scale": 1.2, "thresh": 0.3}
        plain = {**options, **unused, **scales, "rescore": 0, "bias_match": 0}
        yield Case("plain", x, labels, options=plain, phase=Phase.TEST, layer={"loss_weight": [0.5]}, skip=skip)
        yield Case("empty", x, values(np.zeros((2, 1, 2, 5))), options=options, skip=skip)
