"""The frame that YOLO's losses share: which predictions answer for which objects."""

from __future__ import annotations

from typing import Any

import attrs

from cafx.kernel import Blob, LossLayer
from cafx.kernel.blob import shape_text
from cafx_lib_yolo.grid import Grid, logistic
from cafx_lib_yolo.objects import ROW, Indices, Objects, rounds
from cafx_lib_yolo.overlap import Overlap

X, Y, W, H, OBJECTNESS, CLASSES = range(6)


@attrs.frozen
class Assigned:
    """Objects and the predictions that answer for them, one each.

    Attributes:
        boxes: the objects, M×4: centre and size relative to the image.
        classes: their classes.
        predicted: the predictions, M×V.
        boxes_predicted: the boxes they stand for, M×4.
        targets: what x, y, w and h should be, M×4.
        delta: the predictions' δ so far, M×V.
    """

    boxes: Any
    classes: Any
    predicted: Any
    boxes_predicted: Any
    targets: Any
    delta: Any


class YoloLoss(LossLayer):
    """Base class of YOLO's losses.

    A prediction's δ is the derivative of its part of the objective. A subclass gives the δ of predictions
    that answer for no object and of those that answer for one; here they are found and summed:
    L = Σ δ² / N. The gradient is dx = δ dL / N.

    Attributes:
        classes: number of classes.
        softmax: whether the classes' scores go through a softmax, or each through the logistic function.
        grid: the predictions' shape, after `reshape`.
    """

    capturable = False
    classes = 0
    softmax = False

    @classmethod
    def example(cls) -> tuple[Any, Any]:
        """Bottoms of conformance cases: two images with 3×4 cells of two boxes, three classes."""
        from cafx.conformance import normal, values

        one = [[2, 0.3, 0.6, 0.4, 0.3], [1, 0.32, 0.58, 0.5, 0.3], [0, 0.9, 1, 0.1, 0.1], [0] * ROW]
        two = [[1, 0.7, 0.2, 0.9, 0.8], [0] * ROW, [0] * ROW, [0] * ROW]
        return normal((2, 16, 3, 4)), values([[one], [two]])

    def make_grid(self, bottom: Blob) -> Grid:
        """The grid of the predictions."""
        raise NotImplementedError

    def background(self, objectness: Any, overlap: Any) -> Any:
        """δ of the objectness of one image's predictions that answer for no object.

        Args:
            objectness: after the logistic function, A×H×W.
            overlap: the largest IoU with an object, A×H×W; None if there is none.
        """
        raise NotImplementedError

    def choose(self, objects: Objects) -> Indices:
        """For each object, which of its cell's A boxes answers for it; negative for none."""
        raise NotImplementedError

    def answer(self, assigned: Assigned) -> Any:
        """Change the δ of predictions that answer for an object.

        Returns:
            What is added to Σ δ².
        """
        raise NotImplementedError

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the buffers of the activated predictions and their δ."""
        self.predicted = self.context.blob((), f"{self.name}.predicted")
        self.delta = self.context.blob((), f"{self.name}.delta")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar.

        Raises:
            CafxError: predictions or labels have the wrong shape.
        """
        LossLayer.reshape(self, bottom, top)
        self.grid = self.make_grid(bottom[0])
        if bottom[1].num_axes < 2 or bottom[1].count(1) % ROW:
            raise self.error(
                "labels are rows of class, centre x, centre y, width, height",
                found=shape_text(bottom[1].shape),
                expected="N×1×T×5",
            )
        self.predicted.reshape(*self.grid.shape)
        self.delta.reshape(*self.grid.shape)
        self.items = max(1, self.grid.images)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """L = Σ δ² / N."""
        labels = bottom[1].host()
        delta = self.delta.mutable_data
        delta[...] = 0
        predicted = self._activate(bottom[0].data.reshape(self.grid.shape))
        near = Objects.read(self, labels, self.classes, ends=1)
        for image in range(self.grid.images):
            boxes = self.grid.boxes(self.xp, predicted[image : image + 1])[0]
            overlap = self._largest_overlap(boxes, near.of(image))
            delta[image, :, OBJECTNESS] = self.background(predicted[image, :, OBJECTNESS], overlap)
        self.pull_to_anchors(predicted, delta)
        extra = self._assign(Objects.read(self, labels, self.classes, ends=3), predicted, delta)
        top[0].mutable_data[...] = (self.squares(delta) + extra) / self.items

    def squares(self, delta: Any) -> Any:
        """Σ δ².

        Args:
            delta: the δ that are summed.
        """
        return (delta * delta).sum()

    def pull_to_anchors(self, predicted: Any, delta: Any) -> None:
        """Set the δ of boxes that answer for no object; by default they have none.

        Args:
            predicted: the activated predictions, N×A×V×H×W.
            delta: their δ.
        """

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = δ · dL / N."""
        self.refuse_gradients(propagate_down)
        if propagate_down[0]:
            dx = bottom[0].mutable_diff.reshape(self.grid.shape)
            self.xp.multiply(self.delta.data, self.loss_weight(top) / self.items, out=dx)

    def _activate(self, x: Any) -> Any:
        """The predictions with x, y, the objectness and the classes' scores activated."""
        xp, predicted = self.xp, self.predicted.mutable_data
        predicted[:, :, W : H + 1] = x[:, :, W : H + 1]
        for start, end in ((X, Y + 1), (OBJECTNESS, CLASSES if self.softmax else self.grid.values)):
            predicted[:, :, start:end] = logistic(xp, x[:, :, start:end])
        if self.softmax:
            scores = x[:, :, CLASSES:]
            powers = xp.exp(scores - scores.max(axis=2, keepdims=True))
            predicted[:, :, CLASSES:] = powers / powers.sum(axis=2, keepdims=True)
        return predicted

    def _largest_overlap(self, boxes: Any, objects: Any) -> Any:
        """For each of the boxes, A×H×W×4, the largest IoU with an object of the image; None without objects."""
        if not len(objects):
            return None
        others = self.xp.asarray(objects, dtype=boxes.dtype)
        return Overlap(self.xp, boxes[..., None, :], others).iou.max(axis=-1)

    def _assign(self, objects: Objects, predicted: Any, delta: Any) -> Any:
        """Let predictions answer for objects, in the objects' order where several fall to one prediction."""
        chosen = self.choose(objects)
        objects, chosen = objects.only(chosen >= 0), chosen[chosen >= 0]
        rows, columns = objects.cells(self.grid.height, self.grid.width)
        keys = ((objects.images * len(self.grid.anchors) + chosen) * self.grid.height + rows) * self.grid.width
        extra: Any = 0
        for turn in rounds(keys + columns):
            at = (objects.images[turn], chosen[turn], rows[turn], columns[turn])
            extra = extra + self._answer_at(objects.only(turn), at, predicted, delta)
        return extra

    def _answer_at(self, objects: Objects, at: tuple[Indices, ...], predicted: Any, delta: Any) -> Any:
        xp, dtype = self.xp, predicted.dtype
        image, anchor, row, column = (xp.asarray(each) for each in at)
        index = (image, anchor, slice(None), row, column)
        boxes, values = xp.asarray(objects.boxes, dtype=dtype), predicted[index]
        sizes = xp.asarray(self.grid.anchors, dtype=dtype)[anchor]
        cells = xp.stack([column, row], axis=1).astype(dtype)
        counts = xp.asarray([self.grid.width, self.grid.height], dtype=dtype)
        centres, sized = (values[:, :W] + cells) / counts, xp.exp(values[:, W:OBJECTNESS]) * sizes
        assigned = Assigned(
            boxes=boxes,
            classes=xp.asarray(objects.classes),
            predicted=values,
            boxes_predicted=xp.concatenate([centres, sized], axis=1),
            targets=xp.concatenate([boxes[:, :2] * counts - cells, xp.log(boxes[:, 2:] / sizes)], axis=1),
            delta=delta[index],
        )
        extra = self.answer(assigned)
        delta[index] = assigned.delta
        return extra
