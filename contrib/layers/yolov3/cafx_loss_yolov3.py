"""Yolov3: the loss of one scale of YOLOv3."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Message, message, option
from cafx_lib_yolo import Assigned, Grid, Objects, Overlap, YoloLoss, pixel_anchors, relative

if TYPE_CHECKING:
    from cafx.conformance import Case

W, H, OBJECTNESS, CLASSES = 2, 3, 4, 5
FOCAL_ALPHA, FOCAL_FLOOR = 0.5, 1e-15


@message("yolov3_param", 603)
class Yolov3Parameter(Message):
    """Options of Yolov3."""

    class IOU_LOSS(IntEnum):  # noqa: N801 - the name in the file
        """What the boxes learn: intersection over union, its generalisation, or squared differences."""

        IOU = 0
        GIOU = 1
        MSE = 2

    side: int = option(1, "uint32", 13, doc="cells per side; not looked at: the bottom says it")
    num_class: int = option(2, "uint32", 20, doc="number of classes")
    num: int = option(3, "uint32", 5, doc="boxes per cell")
    object_scale: float = option(4, "float", 1.0, doc="weight of the objectness of objects with use_logic_gradient")
    class_scale: float = option(5, "float", 1.0, doc="weight of the classes")
    noobject_scale: float = option(6, "float", 0.5, doc="not looked at: the weight is 1, as in the fork")
    coord_scale: float = option(7, "float", 5.0, doc="weight of the boxes, for MSE")
    thresh: float = option(8, "float", 0.2, doc="boxes that overlap an object by more are not taught to be background")
    anchors_scale: int = option(10, "uint32", 32, doc="pixels per cell")
    biases: list[float] = option(11, "float", repeated=True, doc="width and height of all anchors in pixels")
    mask: list[int] = option(12, "uint32", repeated=True, doc="the anchors of this scale, by index")
    use_logic_gradient: bool = option(13, "bool", False, doc="squared errors in place of cross entropies")
    use_focal_loss: bool = option(14, "bool", False, doc="weigh the classes by the focal loss")
    iou_loss: IOU_LOSS = option(15, IOU_LOSS, IOU_LOSS.GIOU, doc="IOU, GIOU or MSE")
    iou_normalizer: float = option(16, "float", 0.25, doc="weight of the boxes, for IOU and GIOU")


class Yolov3(YoloLoss):
    """Loss of a scale of YOLOv3: L = (Σ δ² + Σ ν (1 − IoU)) / N, with δ per prediction; no second sum for MSE.

    Of the ``num`` boxes in the cell of an object's centre, the one whose anchor, among all ``biases``, has the
    size closest to the object's (by IoU) answers for it, if that anchor is in this scale's ``mask``. With
    p = σ(x): for its box, MSE: δ = s (value − target) for p_x, p_y, w, h and s = coord_scale · (2 − area);
    IOU and GIOU: δ = −ν ∂IoU/∂(centre, size), times exp(w), exp(h) for the size, ν = iou_normalizer. Objectness:
    δ = p − 1; for boxes that answer for none, p, or 0 where the IoU with an object exceeds ``thresh``. Classes:
    δ = class_scale · (p − 1[the object's]); with ``use_focal_loss`` times ½ (1 − q)(1 − q − 2 q ln q), q = p of the
    object's class. Of several objects at one box, the first sets the classes, later ones δ = p − 1 of their own; the
    last sets the rest. Values are those the fork reports.

    Bottoms: predictions N×(num·(5 + num_class))×H×W, for each box x, y, w, h, objectness, classes; labels, N×1×T×5:
    class from 0, centre x, centre y, width, height relative to the image, up to a row of zeros. Top: L, a scalar.
    Gradient: dx = δ dL / N, times p (1 − p) with ``use_logic_gradient`` where p is used (δ of the objectness of
    objects is then times object_scale). Without it, δ is the gradient of cross entropies and ½ squared errors.

    Raises:
        CafxError: wrong shapes; anchors missing from biases or mask; a label is not a class, a box not in the image.

    Source: Redmon and Farhadi, "YOLOv3", 2018; Rezatofighi et al., "GIoU", 2019; eric612/MobileNet-YOLO. Unlike the
    fork, boxes that do not overlap have no IoU gradient, and IOU reports 1 − IoU, not 1 − GIoU.
    """

    Parameter = Yolov3Parameter
    options: Yolov3Parameter

    def make_grid(self, bottom: Blob) -> Grid:
        """A grid with the anchors of this scale."""
        options, mask = self.options, list(self.options.mask[: self.options.num])
        self.mse = options.iou_loss == Yolov3Parameter.IOU_LOSS.MSE
        self.classes, anchors = options.num_class, pixel_anchors(self, mask, options.num)
        grid = Grid.of(self, bottom, anchors[mask], CLASSES + self.classes, options.anchors_scale)
        self.sizes = relative(anchors, options.anchors_scale, grid.height, grid.width)
        self.position = np.full(len(anchors) + 1, -1)
        for place in reversed(range(options.num)):
            self.position[mask[place]] = place
        return grid

    def background(self, objectness: Any, overlap: Any) -> Any:
        """δ = p, or 0 near an object."""
        return objectness if overlap is None else self.xp.where(overlap > self.options.thresh, 0, objectness)

    def choose(self, objects: Objects) -> Any:
        """The box whose anchor is closest to the object's size, if it is of this scale."""
        return self.position[objects.closest(self.sizes)]

    def answer(self, assigned: Assigned) -> Any:
        """δ of box, objectness and classes."""
        xp, options, predicted, delta = self.xp, self.options, assigned.predicted, assigned.delta
        rows, classes = xp.arange(len(delta)), CLASSES + assigned.classes
        extra: Any = 0
        first = delta[:, CLASSES] == 0
        if self.mse:
            scale = options.coord_scale * (2 - assigned.boxes[:, 2:3] * assigned.boxes[:, 3:4])
            delta[:, :OBJECTNESS] = scale * (predicted[:, :OBJECTNESS] - assigned.targets)
        else:
            pair = Overlap(xp, assigned.boxes_predicted, assigned.boxes)
            generalised = options.iou_loss == Yolov3Parameter.IOU_LOSS.GIOU
            delta[:, :OBJECTNESS] = -options.iou_normalizer * pair.gradient(generalised)
            delta[:, W:OBJECTNESS] *= xp.exp(predicted[:, W:OBJECTNESS])
            extra = (1 - (pair.giou if generalised else pair.iou)).sum() * options.iou_normalizer
        weight = options.object_scale if options.use_logic_gradient else 1
        delta[:, OBJECTNESS] = weight * (predicted[:, OBJECTNESS] - 1)
        errors = options.class_scale * predicted[:, CLASSES:]
        errors[rows, assigned.classes] -= options.class_scale
        if options.use_focal_loss:
            right = predicted[rows, classes] + FOCAL_FLOOR
            errors *= (FOCAL_ALPHA * (1 - right) * (1 - right - 2 * right * xp.log(right)))[:, None]
        again = predicted[rows, classes] - 1
        delta[:, CLASSES:] = xp.where(first[:, None], errors, delta[:, CLASSES:])
        delta[rows, classes] = xp.where(first, delta[rows, classes], again)
        return extra

    def squares(self, delta: Any) -> Any:
        """Σ δ², for IOU and GIOU without the boxes'."""
        return super().squares(delta if self.mse else delta[:, :, OBJECTNESS:])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = δ · dL / N, times p (1 − p) with use_logic_gradient."""
        super().backward(top, propagate_down, bottom)
        if propagate_down[0] and self.options.use_logic_gradient:
            dx, p = bottom[0].mutable_diff.reshape(self.grid.shape), self.predicted.data
            for part in (slice(0, W), slice(OBJECTNESS, None)):
                dx[:, :, part] *= p[:, :, part] * (1 - p[:, :, part])

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Each loss of the boxes, both gradients, focal loss, several objects in a cell, none."""
        from cafx.conformance import Case, values

        skip = {"gradient-bottoms": "L is the fork's Σ δ², whose derivative is not δ; the tests check δ numerically"}
        options = {"num_class": 3, "num": 2, "biases": [10, 14, 30, 20, 60, 50], "mask": [1, 2], "anchors_scale": 16}
        x, labels = cls.example()
        yield Case("giou", x, labels, options=options, skip=skip)
        yield Case("iou", x, labels, options={**options, "iou_loss": "IOU", "iou_normalizer": 0.5}, skip=skip)
        mse = {**options, "iou_loss": "MSE", "coord_scale": 1.5, "class_scale": 0.7, "thresh": 0.3}
        yield Case("mse", x, labels, options=mse, layer={"loss_weight": [0.5]}, skip=skip)
        logic = {**mse, "use_logic_gradient": True, "object_scale": 5.0, "noobject_scale": 1.0, "side": 4}
        yield Case("squares", x, labels, options=logic, skip=skip)
        yield Case("focal", x, labels, options={**options, "use_focal_loss": True}, skip=skip)
        yield Case("empty", x, values(np.zeros((2, 1, 2, 5))), options=options, skip=skip)
