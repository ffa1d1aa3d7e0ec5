"""A graph whose nodes have ranks, with further nodes where edges pass a rank."""

from __future__ import annotations

from collections.abc import Sequence

BEND = 10.0
"""Width that an edge takes where it passes a rank."""

Edge = tuple[int, int]
Point = tuple[float, float]


class Graph:
    """The graph with a further node for each rank that edges from one node pass; these edges share it.

    Attributes:
        widths, heights: of nodes.
        rows: the nodes of each rank.
        above, below: the neighbours of each node in the next ranks.
    """

    def __init__(self, sizes: Sequence[Point], edges: Sequence[Edge], ranks: list[int]) -> None:
        self.widths = [width for width, _ in sizes]
        self.heights = [height for _, height in sizes]
        self.rows: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
        self.above: list[list[int]] = [[] for _ in sizes]
        self.below: list[list[int]] = [[] for _ in sizes]
        self.real = len(sizes)
        self._ranks = ranks
        self._bends: dict[tuple[int, int], int] = {}
        for node, rank in enumerate(ranks):
            self.rows[rank].append(node)
        for start, end in dict.fromkeys(edges):
            before = start
            for rank in range(ranks[start] + 1, ranks[end]):
                before = self._bend(start, rank, before)
            self._join(before, end)

    def chain(self, edge: Edge) -> list[int]:
        """The nodes of the ranks that an edge passes."""
        start, end = edge
        return [self._bends[start, rank] for rank in range(self._ranks[start] + 1, self._ranks[end])]

    def is_bend(self, node: int) -> bool:
        """Whether a node only leads an edge past a rank."""
        return node >= self.real

    def _bend(self, start: int, rank: int, before: int) -> int:
        if (start, rank) not in self._bends:
            node = self._bends[start, rank] = len(self.widths)
            self.widths.append(BEND)
            self.heights.append(0.0)
            self.above.append([])
            self.below.append([])
            self.rows[rank].append(node)
            self._join(before, node)
        return self._bends[start, rank]

    def _join(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)
