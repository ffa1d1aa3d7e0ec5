"""Layout of a directed graph in layers: ranks, an order within each rank that crosses few edges, and coordinates.

Source: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise

import attrs

from .aligned import placed
from .ranked import Edge, Graph, Point
from .tightening import tightened

SWEEPS = 12


@attrs.frozen
class Layout:
    """Where nodes and edges are.

    Attributes:
        centres: the centre of each node.
        routes: the points that each edge passes: the end of the rank in which it begins, then where it enters and
            leaves each rank between those of its ends.
        width, height: of the drawing.
    """

    centres: list[Point]
    routes: Mapping[Edge, list[Point]]
    width: float
    height: float


def arrange(sizes: Sequence[Point], edges: Sequence[Edge], gap: float = 20.0, between: float = 26.0) -> Layout:
    """Lay out a graph from top to bottom.

    Args:
        sizes: width and height of each node.
        edges: pairs of nodes, the first of which comes before the second in ``sizes``.
        gap: least distance of nodes side by side.
        between: distance of ranks.

    Example:
        >>> layout = arrange([(40, 20), (40, 20), (40, 20)], [(0, 1), (0, 2)])
        >>> layout.centres, layout.width
        ([(50.0, 10.0), (20.0, 56.0), (80.0, 56.0)], 100.0)
    """
    ranks = _ranks(len(sizes), edges)
    graph = Graph(sizes, edges, ranks)
    rows = _ordered(graph)
    x = tightened(graph, rows, placed(graph, rows, gap), gap)
    heights = [max((graph.heights[node] for node in row), default=0.0) for row in rows]
    tops = [sum(heights[:rank]) + between * rank for rank in range(len(rows))]
    left = min((x[node] - graph.widths[node] / 2 for node in range(len(x))), default=0.0)
    right = max((x[node] + graph.widths[node] / 2 for node in range(len(x))), default=0.0)
    centres = [(x[node] - left, tops[rank] + sizes[node][1] / 2) for node, rank in enumerate(ranks)]
    routes = {}
    for edge in edges:
        first = ranks[edge[0]]
        routes[edge] = [(x[edge[0]] - left, tops[first] + heights[first])]
        for rank, bend in enumerate(graph.chain(edge), first + 1):
            routes[edge] += [(x[bend] - left, tops[rank]), (x[bend] - left, tops[rank] + heights[rank])]
    return Layout(centres, routes, right - left, (tops[-1] + heights[-1]) if rows else 0.0)


def _ranks(count: int, edges: Sequence[Edge]) -> list[int]:
    """One more than the highest rank before each node; sources are moved down to their first reader."""
    ranks = [0] * count
    for start, end in sorted(edges):
        ranks[end] = max(ranks[end], ranks[start] + 1)
    entered = {end for _, end in edges}
    first: dict[int, int] = {}
    for start, end in sorted(edges, reverse=True):
        first[start] = min(first.get(start, ranks[end]), ranks[end])
    for node, rank in first.items():
        if node not in entered:
            ranks[node] = rank - 1
    return ranks


def _ordered(graph: Graph) -> list[list[int]]:
    """The order of each rank, from sweeps down and up that sort nodes by their neighbours' mean position."""
    rows = [list(row) for row in graph.rows]
    best, fewest = rows, _crossings(graph, rows)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        neighbours = graph.above if down else graph.below
        rows = [list(row) for row in rows]
        order = range(1, len(rows)) if down else range(len(rows) - 2, -1, -1)
        for rank in order:
            places = {node: place for place, node in enumerate(rows[rank - 1 if down else rank + 1])}
            own = {node: place for place, node in enumerate(rows[rank])}
            scale = max(len(places) - 1, 1) / max(len(own) - 1, 1)
            wanted = {node: _mean([places[each] for each in neighbours[node]], own[node] * scale) for node in own}
            rows[rank].sort(key=wanted.__getitem__)
        crossings = _crossings(graph, rows)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _crossings(graph: Graph, rows: list[list[int]]) -> int:
    """The number of pairs of edges that cross."""
    total = 0
    for upper, lower in pairwise(rows):
        places = {node: place for place, node in enumerate(lower)}
        seen: list[int] = []
        for node in upper:
            ends = sorted(places[end] for end in graph.below[node])
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total
