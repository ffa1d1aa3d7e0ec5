"""Layers of detection: prior boxes, regions of interest, detections."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from cafx_lib_onnx import Converter, Exporter, Importer

INT64, FLOAT, BOOL = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL
LOWEST = float(np.finfo(np.float32).min)
ENOUGH = np.iinfo(np.int32).max


class PriorBox(Converter):
    """A constant: the boxes follow from shapes alone."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """The boxes and their variances."""
        for value in context.bottoms:
            context.spatial(value)
        context.add("Identity", [context.constant(np.asarray(layer.values), "boxes")], context.tops)


class ROIPooling(Converter):
    """MaxRoiPool."""

    operators = ("MaxRoiPool",)

    @staticmethod
    def import_(context: Importer) -> None:
        """A ROIPooling with the node's grid."""
        options = context.add("ROIPooling", context.inputs).roi_pooling_param
        options.pooled_h, options.pooled_w = context.attribute("pooled_shape")
        options.spatial_scale = context.attribute("spatial_scale", 1.0)

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Maxima over a grid of bins in each region."""
        options, (x, regions) = layer.options, context.bottoms
        if len(context.shape(regions)) != 2:
            regions = context.add("Flatten", [regions], axis=1)
        pooled = [options.pooled_h, options.pooled_w]
        context.add("MaxRoiPool", [x, regions], context.tops, pooled_shape=pooled, spatial_scale=options.spatial_scale)


class DetectionOutput(Converter):
    """TopK and NonMaxSuppression; with ``--detection raw``, the decoded boxes and the scores."""

    @staticmethod
    def export(layer: Any, context: Exporter) -> None:
        """Decode, suppress, and list what is left."""
        options = layer.options
        scores = _scores(layer, context)
        boxes = _boxes(layer, context)
        if context.settings.get("detection") == "raw":
            batch = context.shape(context.bottoms[0])[0]
            context.result(boxes, f"{layer.name}_boxes", (batch, layer.sets, layer.priors, 4))
            context.result(scores, f"{layer.name}_scores", (batch, options.num_classes, layer.priors))
            return
        if options.nms_param.eta < 1:
            raise context.unsupported("eta below 1", remedy="--detection raw exports boxes and scores")
        classes = [each for each in range(options.num_classes) if each != options.background_label_id]
        rows = _Rows(layer, context, boxes, context.add("Gather", [scores, context.indices(*classes)], axis=1), classes)
        rows.write(context.tops)


def _scores(layer: Any, context: Exporter) -> str:
    """Scores as N×classes×priors."""
    batch = context.shape(context.bottoms[1])[0]
    shaped = context.reshape(context.bottoms[1], (batch, layer.priors, layer.options.num_classes))
    return context.add("Transpose", [shaped], perm=[0, 2, 1])


def _boxes(layer: Any, context: Exporter) -> str:
    """Decoded boxes as N×sets×priors×4."""
    options, batch = layer.options, context.shape(context.bottoms[0])[0]
    location = context.reshape(context.bottoms[0], (batch, layer.priors, layer.sets, 4))
    offsets = context.add("Transpose", [location], perm=[0, 2, 1, 3])
    priors = context.add("Reshape", [context.bottoms[2], context.indices(2, layer.priors, 4)])
    prior, variance = _parts(context, priors, 0, 2, 1)
    scaled = offsets if options.variance_encoded_in_target else context.add("Mul", [offsets, variance])
    code = options.code_type.name
    if code == "CORNER":
        return context.add("Add", [prior, scaled])
    low, high = _parts(context, prior, -1, 2, 2)
    size = context.add("Sub", [high, low])
    if code == "CORNER_SIZE":
        return context.add("Add", [prior, context.add("Mul", [scaled, context.add("Concat", [size, size], axis=-1)])])
    centre = context.add("Mul", [context.add("Add", [low, high]), context.number(0.5)])
    move, growth = _parts(context, scaled, -1, 2, 2)
    middle = context.add("Add", [context.add("Mul", [move, size]), centre])
    grown = context.add("Mul", [context.add("Exp", [growth]), size])
    half = context.add("Mul", [grown, context.number(0.5)])
    corners = [context.add(op, [middle, half]) for op in ("Sub", "Add")]
    return context.add("Concat", corners, axis=-1)


def _parts(context: Exporter, value: str, axis: int, count: int, size: int) -> list[str]:
    """Equal parts of a value along an axis."""
    parts = [context.graph.fresh(f"{context.layer.name}/Part") for _ in range(count)]
    context.add("Split", [value, context.indices(*[size] * count)], parts, axis=axis)
    return parts


class _Rows:
    """The rows (image, class, score, xmin, ymin, xmax, ymax) of a DetectionOutput.

    Args:
        layer: the layer.
        context: the graph.
        boxes: N×sets×priors×4.
        scores: N×classes×priors, without the background.
        classes: the label of each class.
    """

    def __init__(self, layer: Any, context: Exporter, boxes: str, scores: str, classes: list[int]) -> None:
        self.layer, self.context, self.boxes, self.classes = layer, context, boxes, classes
        self.options, self.priors = layer.options, layer.priors
        self.scores = self._best(scores)

    def _best(self, scores: str) -> str:
        """The scores, those that are not among the ``top_k`` of their class being −∞."""
        suppression = self.options.nms_param
        count = suppression.top_k if suppression.has("top_k") else -1
        return self._largest(scores, count, 2, -np.inf) if 0 < count < self.priors else scores

    def _largest(self, values: str, count: int, axis: int, others: float) -> str:
        """The values, all but the largest ``count`` along an axis being replaced by ``others``."""
        context = self.context
        best, order = (context.graph.fresh(f"{self.layer.name}/{name}") for name in ("Best", "Order"))
        context.add("TopK", [values, context.indices(count)], [best, order], axis=axis)
        filler = context.constant(np.array([others], np.float32), "others")
        dense = context.add("Expand", [filler, context.add("Shape", [values])])
        return context.add("ScatterElements", [dense, order, best], axis=axis)

    def _selected(self) -> str:
        """Indices (image, class, prior) of the boxes that survive, by image, class and descending score."""
        context, options = self.context, self.options
        threshold = options.confidence_threshold if options.has("confidence_threshold") else LOWEST
        limits = [context.indices(ENOUGH), context.number(options.nms_param.nms_threshold), context.number(threshold)]
        if options.share_location:
            boxes = self._upright(context.add("Squeeze", [self.boxes, context.indices(1)]))
            return context.add("NonMaxSuppression", [boxes, self.scores, *limits], center_point_box=0)
        chosen = context.add("Gather", [self.boxes, context.indices(*self.classes)], axis=1)
        boxes = self._upright(context.add("Reshape", [chosen, context.indices(-1, self.priors, 4)]))
        scores = context.add("Reshape", [self.scores, context.indices(-1, 1, self.priors)])
        found = context.add("NonMaxSuppression", [boxes, scores, *limits], center_point_box=0)
        merged, _, prior = (self._column(found, index) for index in range(3))
        count = context.indices(len(self.classes))
        image, label = (context.add(op, [merged, count]) for op in ("Div", "Mod"))
        return context.add("Concat", [image, label, prior], axis=1)

    def _upright(self, boxes: str) -> str:
        """The boxes, those with xmax < xmin or ymax < ymin without area: ONNX would swap their corners."""
        low, high = _parts(self.context, boxes, -1, 2, 2)
        return self.context.add("Concat", [low, self.context.add("Max", [low, high])], axis=-1)

    def _column(self, table: str, index: int) -> str:
        return self.context.add("Gather", [table, self.context.indices(index)], axis=1)

    def write(self, tops: list[str]) -> None:
        """Add the nodes from the selected boxes to the top."""
        context, add = self.context, self.context.add
        selected = self._selected()
        values = add("GatherND", [self.scores, selected])
        kept = self._kept(selected, values)
        image, label, prior = (self._column(selected, index) for index in range(3))
        names = add("Gather", [context.constant(np.array(self.classes, np.int64), "classes"), label])
        place = names if not self.options.share_location else add("Mul", [label, context.indices(0)])
        boxes = add("GatherND", [self.boxes, add("Concat", [image, place, prior], axis=1)])
        numbers = [add("Cast", [each], to=FLOAT) for each in (image, names)]
        rows = add("Concat", [*numbers, add("Unsqueeze", [values, context.indices(1)]), boxes], axis=1)
        rows = add("Compress", [rows, kept], axis=0) if kept else rows
        whole = add("Concat", [rows, self._if_none(rows)], axis=0)
        add("Unsqueeze", [whole, context.indices(0, 1)], tops)
        context.graph.shapes[tops[0]] = (1, 1, f"{self.layer.name}_detections", 7)

    def _kept(self, selected: str, values: str) -> str:
        """Which of the selected boxes are among the ``keep_top_k`` best of their image."""
        context, add, limit = self.context, self.context.add, self.options.keep_top_k
        total = len(self.classes) * self.priors
        if not 0 <= limit < total:
            return ""
        if not limit:
            return add("Less", [values, context.number(-np.inf)])
        lowest = context.constant(np.array([LOWEST], np.float32), "lowest")
        shape = add("Shape", [self.scores])
        dense = add("ScatterND", [add("Expand", [lowest, shape]), selected, values])
        flat = add("Reshape", [dense, context.indices(-1, total)])
        best = add("Reshape", [self._largest(flat, limit, 1, LOWEST), shape])
        return add("Greater", [add("GatherND", [best, selected]), context.number(LOWEST)])

    def _if_none(self, rows: str) -> str:
        """A row (image, −1, …) per image if there is no detection at all, else no row."""
        context, add = self.context, self.context.add
        images = add("Slice", [add("Shape", [self.scores]), context.indices(0), context.indices(1)])
        count = add("Squeeze", [images, context.indices(0)])
        numbers = add("Range", [context.constant(np.int64(0), "zero"), count, context.constant(np.int64(1), "one")])
        column = add("Unsqueeze", [add("Cast", [numbers], to=FLOAT), context.indices(1)])
        filler = context.constant(np.full((1, 6), -1, np.float32), "none")
        rest = add("Expand", [filler, add("Concat", [images, context.indices(6)], axis=0)])
        length = add("Slice", [add("Shape", [rows]), context.indices(0), context.indices(1)])
        empty = add("Expand", [add("Equal", [length, context.indices(0)]), images])
        return add("Compress", [add("Concat", [column, rest], axis=1), empty], axis=0)
