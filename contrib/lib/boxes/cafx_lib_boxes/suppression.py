"""Non-maximum suppression."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx_lib_boxes.overlap import Boxes, Columns

Indices = npt.NDArray[np.int64]
FIRST_BLOCK = 128
GROUP = 256
"""Candidates whose overlaps with each other are computed at once."""
COMPARED = 32
"""Kept boxes that a block is compared with at once."""
SWEPT = 8192
"""From this number of candidates on, kept boxes are compared with those near them alone."""
SLACK = 1.001
"""Allowance for rounding in the distance of boxes that overlap."""
SMALLEST_THRESHOLD = 0.5
"""``eta`` lowers the threshold only while it is above this."""


def ranked(scores: npt.NDArray[Any], above: float | None = None, top_k: int = -1) -> Indices:
    """Indices of scores in descending order; equal scores keep their order.

    Args:
        scores: shape (N).
        above: only scores greater than this; None for all but NaN.
        top_k: the number of best scores to return; −1 for all.
    """
    chosen = np.flatnonzero(scores > above if above is not None else scores == scores)
    values = scores[chosen]
    if 0 <= top_k < len(chosen):
        if top_k == 0:
            return chosen[:0]
        least = np.partition(values, len(values) - top_k)[len(values) - top_k]
        chosen = chosen[values >= least]
        values = scores[chosen]
    order: Indices = chosen[_descending(values)]
    return order if top_k < 0 else order[:top_k]


def _descending(scores: npt.NDArray[Any]) -> Indices:
    """Positions by descending score, in order where scores are equal."""
    if scores.dtype != np.float32:
        return np.argsort(-scores, kind="stable")
    # a float's bits, if negative with all but the sign inverted, order as integers; sorting these with the position
    # in the lower half is ten times faster than a stable sort of floats
    bits = (0 - scores).view(np.int32)
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32
    keys |= np.arange(len(scores))
    keys.sort()
    return keys & 0xFFFFFFFF


def suppress(
    boxes: Boxes,
    scores: npt.NDArray[Any],
    threshold: float,
    *,
    above: float | None = None,
    top_k: int = -1,
    limit: int = -1,
    eta: float = 1.0,
    inclusive: bool = False,
    pixels: bool = False,
) -> Indices:
    """Greedy non-maximum suppression: the best box is kept, those that overlap it too much are dropped, and so on.

    Args:
        boxes: shape (N, 4).
        scores: shape (N); of equal scores the lower index comes first.
        threshold: a box is dropped if its overlap with a kept box is larger than this.
        above: only boxes whose score is greater than this take part; None for all.
        top_k: only so many boxes, those with the best scores, take part; −1 for all.
        limit: stop once so many boxes are kept; −1 for no limit.
        eta: factor of the threshold after each kept box, applied while the threshold is above 0.5.
        inclusive: whether an overlap that equals the threshold also suppresses.
        pixels: see `areas`.

    Returns:
        Indices of the kept boxes, by descending score.

    Source: greedy suppression as in Girshick et al., "Rich feature hierarchies", 2014; ``eta`` is SSD's.
    """
    order = ranked(scores, above, top_k)
    search = _Search(threshold, eta, inclusive, len(order) if limit < 0 else limit)
    start, size = 0, FIRST_BLOCK
    while start < len(order) and not search.finished:
        block = order[start : start + size]
        search.take(block, Columns(boxes[block], pixels))
        start, size = start + size, 2 * size
    return np.array(search.kept, np.int64)


def _ranked_together(scores: npt.NDArray[Any], chosen: npt.NDArray[np.bool_], top_k: int) -> tuple[Indices, Indices]:
    """`ranked` for each class, among the chosen scores: classes, ascending, and indices of the scores."""
    labels, indices = np.nonzero(chosen)
    order = np.lexsort((-scores[labels, indices], labels))
    labels, indices = labels[order], indices[order]
    if top_k < 0:
        return labels, indices
    best = np.arange(len(labels)) - np.searchsorted(labels, labels) < top_k
    return labels[best], indices[best]


def _suppress_together(
    boxes: Boxes,
    labels: Indices,
    indices: Indices,
    threshold: float,
    *,
    limit: int = -1,
    inclusive: bool = False,
    pixels: bool = False,
) -> list[tuple[int, Indices]]:
    """`suppress` for few boxes of several classes at once: those of different classes do not overlap.

    Args:
        boxes: shape (N, 4).
        labels, indices: class and number of each box that takes part, by class and descending score.
        threshold, limit, inclusive, pixels: as for `suppress`, for each class.
    """
    if not len(indices):
        return []
    columns = Columns(boxes[indices], pixels)
    table = np.where(labels[:, None] == labels, columns.overlaps(columns), -np.inf)
    chosen = np.array(_Search(threshold, 1.0, inclusive, len(indices)).fixed(table), np.int64)
    labels, kept = labels[chosen], indices[chosen]
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    parts = np.split(kept, starts[1:])
    return [
        (label, own if limit < 0 else own[:limit]) for label, own in zip(labels[starts].tolist(), parts, strict=True)
    ]


def suppress_classes(
    boxes: Boxes | Mapping[int, Boxes],
    scores: npt.NDArray[Any],
    classes: Iterable[int],
    threshold: float,
    *,
    keep_top_k: int = -1,
    above: float | None = None,
    top_k: int = -1,
    eta: float = 1.0,
    **options: Any,
) -> list[tuple[int, Indices]]:
    """Non-maximum suppression of each class by itself; then the best detections of all classes are kept.

    Args:
        boxes: boxes of shape (N, 4) that all classes share, or those of each class.
        scores: shape (classes, N).
        classes: the classes that count, that is, all but the background.
        threshold: as for `suppress`.
        keep_top_k: number of detections kept over all classes; −1 for all.
        above, top_k, eta: as for `suppress`, for each class.
        options: further keywords of `suppress`, for each class.

    Returns:
        (class, indices of kept boxes by descending score) of each class with detections, in the order of
        ``classes``.
    """
    classes = list(classes)
    some = (scores > above if above is not None else scores == scores)[classes]
    if eta == 1 and not isinstance(boxes, Mapping) and 0 < np.count_nonzero(some) <= GROUP:
        labels, indices = _ranked_together(scores[classes], some, top_k)
        together = _suppress_together(boxes, labels, indices, threshold, **options)
        found = [(classes[label], kept) for label, kept in together]
    else:
        found = []
        for each in itertools.compress(classes, some.any(axis=1)):
            own = boxes[each] if isinstance(boxes, Mapping) else boxes
            found.append((each, suppress(own, scores[each], threshold, above=above, top_k=top_k, eta=eta, **options)))
    if 0 <= keep_top_k < sum(len(kept) for _, kept in found):
        best = np.zeros(sum(len(kept) for _, kept in found), bool)
        best[ranked(np.concatenate([scores[each][kept] for each, kept in found]), top_k=keep_top_k)] = True
        ends = np.cumsum([len(kept) for _, kept in found])[:-1]
        found = [(each, kept[chosen]) for (each, kept), chosen in zip(found, np.split(best, ends), strict=True)]
    return [(each, kept) for each, kept in found if len(kept)]


class _Search:
    """The state of one suppression: which boxes are kept, and the present threshold."""

    def __init__(self, threshold: float, eta: float, inclusive: bool, limit: int) -> None:
        self.threshold = threshold
        self.eta, self.inclusive, self.limit = eta, inclusive, limit
        self.kept: list[int] = []
        self.groups: list[Columns] = []

    @property
    def finished(self) -> bool:
        return len(self.kept) >= self.limit

    def take(self, indices: Indices, boxes: Columns) -> None:
        """Keep or drop a block of candidates, which come in the order of their scores."""
        worst = np.zeros(len(indices), boxes.values.dtype)
        if len(indices) >= SWEPT and self.threshold > 0 and not self._falls:
            alive = self._sweep(boxes)
            indices, boxes, worst = indices[alive], boxes[alive], worst[alive]
        else:
            indices, boxes, worst = self._screen(indices, boxes, worst, self.groups)
        known = len(self.groups)
        for start in range(0, len(indices), GROUP):
            part = slice(start, start + GROUP)
            group = self._screen(indices[part], boxes[part], worst[part], self.groups[known:])
            self._keep(*group)
            if self.finished:
                return

    def _screen(self, indices: Indices, boxes: Columns, worst: Any, groups: list[Columns]) -> tuple[Any, Columns, Any]:
        """The candidates that boxes kept before do not suppress, and their largest overlap with those."""
        for group in groups:
            for start in range(0, len(group), COMPARED):
                if not len(indices):
                    return indices, boxes, worst
                found = group[start : start + COMPARED].overlaps(boxes).max(axis=0)
                worst = np.maximum(worst, found)
                alive = self._passes(worst)
                if not alive.all():
                    indices, boxes, worst = indices[alive], boxes[alive], worst[alive]
        return indices, boxes, worst

    def _sweep(self, boxes: Columns) -> Any:
        """Mask of the candidates that boxes kept before do not suppress.

        Boxes of widths w and w' whose centres are d apart horizontally overlap by at most (w + w' − 2d)/(w + w' + 2d)
        and by at most w/w'. If that is more than t, then d < w (1 − t)/(2t).
        """
        centres, _ = boxes.extents()
        order = np.argsort(centres)
        centres, boxes = centres[order], boxes[order]
        alive = np.ones(len(boxes), bool)
        reach = SLACK * (1 - self.threshold) / (2 * self.threshold)
        for group in self.groups:
            middle, width = group.extents()
            first = np.searchsorted(centres, middle - reach * width)
            last = np.searchsorted(centres, middle + reach * width, side="right")
            for position, (start, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
                near = group[position : position + 1].overlaps(boxes[start:end])[0]
                alive[start:end] &= self._passes(near)
        passed = np.empty_like(alive)
        passed[order] = alive
        return passed

    def _keep(self, indices: Indices, boxes: Columns, worst: Any) -> None:
        """Greedy suppression among candidates that no box kept before suppresses."""
        if not len(indices):
            return
        table = boxes.overlaps(boxes)
        chosen = self._falling(table, worst) if self._falls else self.fixed(table)
        self.kept += indices[chosen].tolist()
        self.groups.append(boxes[chosen])

    @property
    def _falls(self) -> bool:
        """Whether the next kept box lowers the threshold."""
        return self.eta < 1 and self.threshold > SMALLEST_THRESHOLD

    def fixed(self, table: Any) -> list[int]:
        """Positions of kept candidates under a fixed threshold; sets of candidates are integers, a bit for each."""
        close = np.packbits(~self._passes(table), axis=1, bitorder="little")
        left = (1 << len(table)) - 1
        chosen: list[int] = []
        wanted = self.limit - len(self.kept)
        while left and len(chosen) < wanted:
            bit = left & -left
            best = bit.bit_length() - 1
            chosen.append(best)
            left &= ~(bit | int.from_bytes(close[best].tobytes(), "little"))
        return chosen

    def _falling(self, table: Any, worst: Any) -> list[int]:
        """The same while kept boxes lower the threshold, so that a candidate is judged when its turn comes."""
        chosen: list[int] = []
        wanted = self.limit - len(self.kept)
        alive = self._passes(worst)
        while alive.any() and len(chosen) < wanted:
            best = int(alive.argmax())
            chosen.append(best)
            if self._falls:
                self.threshold *= self.eta
            worst = np.maximum(worst, table[best])
            worst[: best + 1] = np.inf
            alive = self._passes(worst)
        return chosen

    def _passes(self, worst: Any) -> Any:
        threshold = worst.dtype.type(self.threshold)
        return worst < threshold if self.inclusive else worst <= threshold
