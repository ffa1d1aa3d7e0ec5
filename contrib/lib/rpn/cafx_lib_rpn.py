"""Region proposal networks: anchors, proposals made of scores and offsets, and targets for training, on the host.

A box is a row (x1, y1, x2, y2) of whole pixels of the network's input, both corners inside.

Source: Ren et al., "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", NIPS 2015,
and its Python layers in rbgirshick/py-faster-rcnn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx_lib_boxes import clip, decode_pixels, encode_pixels, overlaps, suppress

Array = npt.NDArray[Any]
RATIOS = (0.5, 1.0, 2.0)
SCALES = (8.0, 16.0, 32.0)
BOX_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


def base_anchors(
    base_size: float = 16, ratios: Sequence[float] = RATIOS, scales: Sequence[float] = SCALES
) -> npt.NDArray[np.float32]:
    """The anchors of the first cell: for each ratio r and scale s, s⌊w⌉ wide and s⌊r⌊w⌉⌉ high, w = √(b²/r); ⌊⌉ ≥ 1.

    Args:
        base_size: b.
        ratios: height divided by width.
        scales: factors of the base size.

    Returns:
        Shape (A, 4), A the product of the two numbers.

    Example:
        >>> base_anchors(scales=[8]).tolist()
        [[-84.0, -40.0, 99.0, 55.0], [-56.0, -56.0, 71.0, 71.0], [-36.0, -80.0, 51.0, 95.0]]
    """
    width = np.maximum(1, np.round(np.sqrt(base_size * base_size / np.asarray(ratios, np.float64))))
    size = (
        np.stack([width, np.maximum(1, np.round(width * ratios))], axis=1)[:, None]
        * np.asarray(scales, np.float64)[:, None]
    )
    centre = (base_size - 1) / 2
    half = (size.reshape(-1, 2) - 1) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def anchors_of(base: Array, stride: float, height: int, width: int) -> npt.NDArray[np.float32]:
    """All anchors of a feature map, shape (height·width·A, 4): by row, column, and base anchor.

    Args:
        base: see `base_anchors`.
        stride: pixels of the network's input per cell.
        height, width: size of the feature map.
    """
    shift = np.zeros((height, width, 1, 4), np.float32)
    shift[..., 0::2] = (np.arange(width, dtype=np.float32) * stride)[None, :, None, None]
    shift[..., 1::2] = (np.arange(height, dtype=np.float32) * stride)[:, None, None, None]
    return (shift + base.astype(np.float32)).reshape(-1, 4)


def by_anchor(values: Array, count: int) -> Array:
    """A map (A·count)×H×W as rows of ``count`` values in the order of `anchors_of`."""
    return values.transpose(1, 2, 0).reshape(-1, count)


def by_channel(rows: Array, height: int, width: int) -> Array:
    """The inverse of `by_anchor`: rows in the order of `anchors_of` as a map (A·count)×H×W."""
    return rows.reshape(height, width, -1).transpose(2, 0, 1)


@attrs.frozen
class ProposalRule:
    """How proposals are chosen from scored boxes.

    Attributes:
        before: how many boxes of the highest scores take part in suppression; 0 for all.
        after: how many are kept; 0 for all.
        threshold: overlap above which the box of the lower score is dropped.
        min_size: least width and height, in pixels of the image before it was scaled.
    """

    before: int = 6000
    after: int = 300
    threshold: float = 0.7
    min_size: float = 16

    def choose(self, boxes: Array, scores: Array, info: Array) -> tuple[Array, Array]:
        """The proposals of one image, best first.

        Args:
            boxes: shape (N, 4).
            scores: shape (N); of equal scores the first counts as higher.
            info: height, width and scale of the image, optionally its scale along x if that differs.

        Returns:
            Boxes clipped to the image, and their scores.
        """
        height, width, scale = (float(each) for each in info[:3])
        scale_x = float(info[3]) if len(info) > 3 else scale
        boxes = clip(boxes, width - 1, height - 1)
        large = (boxes[:, 2] - boxes[:, 0] + 1 >= self.min_size * scale_x) & (
            boxes[:, 3] - boxes[:, 1] + 1 >= self.min_size * scale
        )
        boxes, scores = boxes[large], scores[large]
        kept = suppress(boxes, scores, self.threshold, top_k=self.before or -1, limit=self.after or -1, pixels=True)
        return boxes[kept], scores[kept]


def proposals(
    scores: Array, offsets: Array, anchors: Array, info: Array, rule: ProposalRule, least: float | None = None
) -> tuple[Array, Array]:
    """Proposals of one image from the outputs of a region proposal network.

    Args:
        scores: probabilities (2A)×H×W: first those of the background, then those of an object.
        offsets: (4A)×H×W, see `cafx_lib_boxes.decode_pixels`.
        anchors: see `anchors_of`.
        info: see `ProposalRule.choose`.
        rule: how they are chosen.
        least: the least score that counts; None for no limit.

    Returns:
        Boxes (R, 4) and scores (R), best first.
    """
    foreground, rows = by_anchor(scores[len(scores) // 2 :], 1).reshape(-1), by_anchor(offsets, 4)
    if least is not None:
        chosen = foreground >= least
        foreground, rows, anchors = foreground[chosen], rows[chosen], anchors[chosen]
    return rule.choose(decode_pixels(rows, anchors), foreground, info)


def exact(boxes: Array) -> npt.NDArray[np.float64]:
    """Boxes as float64 of float32 precision: overlaps are compared in the same way whatever the net's type."""
    return boxes.astype(np.float32).astype(np.float64)


def valid(boxes: Array) -> npt.NDArray[np.bool_]:
    """Which boxes contain a pixel: their corners are numbers, and the second one is not before the first one."""
    result: npt.NDArray[np.bool_] = (boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])
    return result


def invalid_objects(boxes: Array) -> dict[str, str]:
    """What an error says about the first object that contains no pixel; empty if there is none.

    Args:
        boxes: shape (G, 4).

    Example:
        >>> invalid_objects(np.array([[1, 2, 3, 4], [5, 2, 3, 4]]))
        {'found': 'object 1: 5 2 3 4', 'expected': 'x1 ≤ x2 and y1 ≤ y2'}
    """
    wrong = np.flatnonzero(~valid(boxes))
    if not len(wrong):
        return {}
    corners = " ".join(f"{each:g}" for each in boxes[wrong[0]])
    return {"found": f"object {wrong[0]}: {corners}", "expected": "x1 ≤ x2 and y1 ≤ y2"}


def sample(rng: np.random.Generator, indices: Array, count: int) -> Array:
    """At most ``count`` of some indices, drawn without replacement, in random order if some are left out."""
    return rng.choice(indices, count, replace=False) if len(indices) > count else indices


@attrs.frozen
class AnchorRule:
    """Which anchors are examples of objects and of background, and how much they weigh.

    Attributes:
        border: how many pixels an anchor may reach out of the image.
        positive: an anchor with at least this overlap with a box is an example of an object.
        negative: one with less than this overlap with every box, of background.
        negatives_win: whether an anchor that is both, being the best one of a box, is background.
        examples: how many are drawn.
        fraction: largest fraction of objects among them.
        inside_weights: of the four offsets of an object.
        positive_weight: weight of all objects together, of 1; negative for equal weights of all examples.
    """

    border: float = 0
    positive: float = 0.7
    negative: float = 0.3
    negatives_win: bool = False
    examples: int = 256
    fraction: float = 0.5
    inside_weights: Sequence[float] = BOX_WEIGHTS
    positive_weight: float = -1.0

    def labels(self, anchors: Array, boxes: Array) -> Array:
        """1 for an object, 0 for background, else −1, before examples are drawn.

        The best anchors of a box are objects whatever their overlap, as long as there is one.
        """
        labels = np.full(len(anchors), -1, np.int64)
        if not len(boxes):
            labels[:] = 0
            return labels
        overlap = overlaps(anchors, boxes, pixels=True)
        most, best = overlap.max(axis=1, initial=0), overlap.max(axis=0, initial=0)
        background = most < self.negative
        labels[background] = 0
        labels[((overlap == best) & (best > 0)).any(axis=1)] = 1
        labels[most >= self.positive] = 1
        if self.negatives_win:
            labels[background] = 0
        return labels

    def targets(
        self, anchors: Array, boxes: Array, info: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, Array, Array]:
        """Labels, offsets, inside and outside weights of the anchors of one image.

        Args:
            anchors: shape (N, 4).
            boxes: the objects, shape (G, 4).
            info: height and width of the image.
            rng: draws the examples.

        Returns:
            Labels (N) and three arrays (N, 4); label −1 and zeros for an anchor that is no example.
        """
        boxes = exact(boxes)
        border, height, width = self.border, float(info[0]), float(info[1])
        inside = np.flatnonzero(
            (anchors[:, 0] >= -border)
            & (anchors[:, 1] >= -border)
            & (anchors[:, 2] < width + border)
            & (anchors[:, 3] < height + border)
        )
        own = exact(anchors[inside])
        drawn = self._draw(self.labels(own, boxes), rng)
        labels = np.full(len(anchors), -1, np.float32)
        offsets, within, without = (np.zeros((len(anchors), 4), np.float32) for _ in range(3))
        labels[inside] = drawn
        if len(boxes) and len(own):
            nearest = overlaps(own, boxes, pixels=True).argmax(axis=1)
            offsets[inside] = encode_pixels(boxes[nearest], own)
        within[labels == 1] = self.inside_weights
        positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
        if self.positive_weight < 0:
            weights = (1 / max(1, positives + negatives),) * 2
        else:
            weights = self.positive_weight / max(1, positives), (1 - self.positive_weight) / max(1, negatives)
        without[labels == 1], without[labels == 0] = weights
        return labels, offsets, within, without

    def _draw(self, labels: Array, rng: np.random.Generator) -> Array:
        for value, most in ((1, int(self.fraction * self.examples)), (0, self.examples)):
            if value == 0:
                most -= int((labels == 1).sum())
            candidates = np.flatnonzero(labels == value)
            dropped = len(candidates) - max(0, most)
            if dropped > 0:
                labels[rng.choice(candidates, dropped, replace=False)] = -1
        return labels


@attrs.frozen
class RegionRule:
    """Which regions are examples of objects and of background, and their targets.

    Attributes:
        classes: number of classes, the background included; with 2, all objects count as class 1 in the targets.
        examples: how many regions of an image are drawn; −1 for all that qualify.
        fraction: largest fraction of objects among them.
        foreground: least overlap of an object with a box.
        background: overlaps of background: at least the first, less than the second.
        inside_weights: of the four offsets.
        means, deviations: of the offsets: they are normalised by these.
    """

    classes: int
    examples: int = 128
    fraction: float = 0.25
    foreground: float = 0.5
    background: tuple[float, float] = (0.1, 0.5)
    inside_weights: Sequence[float] = BOX_WEIGHTS
    means: Sequence[float] = (0.0, 0.0, 0.0, 0.0)
    deviations: Sequence[float] = (1.0, 1.0, 1.0, 1.0)

    def draw(self, overlap: Array, rng: np.random.Generator) -> tuple[Array, int]:
        """Indices of regions, objects first, and how many of them are objects.

        Args:
            overlap: largest overlap of each region with a box.
            rng: draws them.
        """
        every = len(overlap) if self.examples < 0 else self.examples
        most = every if self.examples < 0 else int(np.round(self.fraction * every))
        objects = sample(rng, np.flatnonzero(overlap >= self.foreground), most)
        low, high = self.background
        others = sample(rng, np.flatnonzero((overlap < high) & (overlap >= low)), every - len(objects))
        return np.concatenate([objects, others]), len(objects)

    def normalised(self, offsets: Array) -> Array:
        """Offsets minus their means, divided by their deviations."""
        result: Array = (offsets - np.asarray(self.means)) / np.asarray(self.deviations)
        return result

    def expanded(self, labels: Array, offsets: Array) -> tuple[Array, Array]:
        """Offsets in the columns of each region's class, R×4·classes, and their inside weights; 0 elsewhere.

        Args:
            labels: class of each region; 0 for background.
            offsets: shape (R, 4).
        """
        rows = np.flatnonzero(labels > 0)
        classes = np.ones(len(rows), np.int64) if self.classes == 2 else labels[rows].astype(np.int64)
        targets, weights = (np.zeros((len(labels), self.classes, 4), np.float32) for _ in range(2))
        targets[rows, classes], weights[rows, classes] = offsets[rows], self.inside_weights
        shape = (len(labels), 4 * self.classes)
        return targets.reshape(shape), weights.reshape(shape)

    def targets(
        self, regions: Array, boxes: Array, classes: Array, rng: np.random.Generator
    ) -> tuple[Array, Array, Array, Array]:
        """Regions of one image drawn for training, with labels, targets and inside weights.

        Args:
            regions: shape (R, 4); those without a pixel do not take part.
            boxes: the objects, shape (G, 4).
            classes: their classes, shape (G).
            rng: draws the regions.
        """
        regions, boxes = exact(regions[valid(regions)]), exact(boxes)
        if len(boxes):
            overlap = overlaps(regions, boxes, pixels=True)
            nearest, most = overlap.argmax(axis=1), overlap.max(axis=1)
        else:
            nearest, most = np.zeros(len(regions), np.int64), np.zeros(len(regions))
        chosen, objects = self.draw(most, rng)
        labels = np.zeros(len(chosen), np.float32)
        offsets = np.zeros((len(chosen), 4))
        if len(boxes):
            labels[:objects] = classes[nearest[chosen[:objects]]]
            offsets = self.normalised(encode_pixels(boxes[nearest[chosen]], regions[chosen]))
        return (regions[chosen], labels, *self.expanded(labels, offsets))
