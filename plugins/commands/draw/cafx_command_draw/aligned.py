"""Coordinates across: long edges straight, and each node over the middle of its neighbours where that is possible.

Source: Brandes and Köpf, "Fast and simple horizontal coordinate assignment", 2001.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import attrs

from .ranked import Graph

Rows = list[list[int]]
Conflicts = set[tuple[int, int]]


def placed(graph: Graph, rows: Rows, gap: float) -> list[float]:
    """The position across of each node: the mean of the two middle ones of four extreme layouts.

    Args:
        graph: the graph.
        rows: the nodes of each rank, from left to right.
        gap: least distance of nodes side by side.
    """
    conflicts = _conflicts(graph, rows)
    layouts = [_extreme(graph, rows, conflicts, gap, up=up, right=right) for up in (0, 1) for right in (0, 1)]
    narrowest = min(layouts, key=lambda layout: max(layout) - min(layout)) if rows else []
    for layout, right in zip(layouts, (0, 1, 0, 1), strict=True):
        side = max if right else min
        shift = side(narrowest) - side(layout) if rows else 0.0
        layout[:] = [x + shift for x in layout]
    middle = [sorted(values)[1:3] for values in zip(*layouts, strict=True)]
    return [(low + high) / 2 for low, high in middle]


def _conflicts(graph: Graph, rows: Rows) -> Conflicts:
    """Edges that cross one which passes both ranks: that one is kept straight."""
    found: Conflicts = set()
    for upper, lower in pairwise(rows):
        places = {node: place for place, node in enumerate(upper)}
        passing = {node: places[above] for node in lower for above in graph.above[node] if _passes(graph, above, node)}
        left, begin = 0, 0
        ends = [index for index, node in enumerate(lower) if node in passing] + [len(lower) - 1]
        for end in ends:
            right = passing.get(lower[end], len(upper) - 1) if lower else 0
            for node in lower[begin : end + 1]:
                for above in graph.above[node]:
                    if not left <= places[above] <= right and not _passes(graph, above, node):
                        found.add((above, node))
            left, begin = right, end + 1
    return found


def _passes(graph: Graph, upper: int, lower: int) -> bool:
    return graph.is_bend(upper) and graph.is_bend(lower)


@attrs.frozen
class _Blocks:
    """Nodes that have one position.

    Attributes:
        root: the block of each node, called like its first node.
    """

    root: list[int]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], near: Sequence[Sequence[int]], conflicts: Conflicts) -> _Blocks:
        """Align each node with the middle one of its neighbours in the rank before, if no alignment crosses."""
        count = len(near)
        root, following = list(range(count)), list(range(count))
        for before, row in pairwise(rows):
            places = {node: place for place, node in enumerate(before)}
            last = -1
            for node in row:
                neighbours = sorted(near[node], key=places.__getitem__)
                middle = (len(neighbours) - 1) / 2
                for other in neighbours[int(middle) : int(middle + 0.5) + 1]:
                    free = following[node] == node and last < places[other]
                    if free and not {(other, node), (node, other)} & conflicts:
                        following[other], root[node] = node, root[other]
                        following[node] = root[node]
                        last = places[other]
        return cls(root)

    def packed(self, rows: Sequence[Sequence[int]], widths: Sequence[float], gap: float) -> list[float]:
        """Positions: each block as far left as those beside it allow, then as far right as it leaves them there."""
        distance: dict[tuple[int, int], float] = {}
        for row in rows:
            for one, next_one in pairwise(row):
                pair = self.root[one], self.root[next_one]
                distance[pair] = max(distance.get(pair, 0.0), (widths[one] + widths[next_one]) / 2 + gap)
        after: dict[int, list[int]] = {}
        before: dict[int, list[int]] = {}
        for left, right in distance:
            after.setdefault(left, []).append(right)
            before.setdefault(right, []).append(left)
        order = _sorted({each for row in rows for each in map(self.root.__getitem__, row)}, before)
        x: dict[int, float] = {}
        for block in order:
            x[block] = max((x[left] + distance[left, block] for left in before.get(block, ())), default=0.0)
        for block in reversed(order):
            room = min((x[right] - distance[block, right] for right in after.get(block, ())), default=x[block])
            x[block] = max(x[block], room)
        return [x[self.root[node]] for node in range(len(self.root))]


def _sorted(blocks: set[int], before: Mapping[int, list[int]]) -> list[int]:
    """Blocks in an order in which each comes after those to its left."""
    order: dict[int, None] = {}
    for block in sorted(blocks):
        stack = [block]
        while stack:
            waiting = [each for each in before.get(stack[-1], ()) if each not in order]
            if waiting:
                stack += waiting
            else:
                order[stack.pop()] = None
    return list(order)


def _extreme(graph: Graph, rows: Rows, conflicts: Conflicts, gap: float, *, up: int, right: int) -> list[float]:
    """One of four layouts: aligned from above or below, and packed to the left or right."""
    turned = [row[::-1] if right else row for row in (reversed(rows) if up else rows)]
    near = graph.below if up else graph.above
    positions = _Blocks.of(turned, near, conflicts).packed(turned, graph.widths, gap)
    return [-x for x in positions] if right else positions
