"""Moving straight runs of nodes closer to what they are connected with."""

from __future__ import annotations

from itertools import pairwise

from .ranked import Graph

SWEEPS = 10
NEAR = 0.01
"""Difference of positions that counts as none."""


def tightened(graph: Graph, rows: list[list[int]], x: list[float], gap: float) -> list[float]:
    """Positions across in which runs of aligned nodes are as close to their neighbours as others leave room.

    Args:
        graph: the graph.
        rows: the nodes of each rank, from left to right.
        x: position of each node.
        gap: least distance of nodes side by side.
    """
    run = _runs(graph, x)
    members: dict[int, list[int]] = {}
    for node, root in enumerate(run):
        members.setdefault(root, []).append(node)
    left, right = _neighbours(rows)
    x = list(x)
    for sweep in range(SWEEPS):
        order = sorted(members, key=lambda root: x[root], reverse=bool(sweep % 2))
        for root in order:
            nodes = members[root]
            ends = [x[end] for node in nodes for end in (*graph.above[node], *graph.below[node]) if run[end] != root]
            if not ends:
                continue
            low = max((_touching(graph, x, left[node], node, gap) for node in nodes if node in left), default=-1e9)
            high = min((_touching(graph, x, right[node], node, -gap) for node in nodes if node in right), default=1e9)
            position = min(max(sum(ends) / len(ends), low), high)
            if low <= high:
                for node in nodes:
                    x[node] = position
    return x


def _runs(graph: Graph, x: list[float]) -> list[int]:
    """For each node, the first one of the run of connected nodes at the same position."""
    run = list(range(len(x)))
    for row in graph.rows:
        for node in row:
            for above in graph.above[node]:
                if abs(x[above] - x[node]) < NEAR:
                    run[node] = run[above]
                    break
    return run


def _neighbours(rows: list[list[int]]) -> tuple[dict[int, int], dict[int, int]]:
    """The node to the left, and to the right, of each."""
    pairs = [pair for row in rows for pair in pairwise(row)]
    return {second: first for first, second in pairs}, dict(pairs)


def _touching(graph: Graph, x: list[float], other: int, node: int, gap: float) -> float:
    """The position of a node that is ``gap`` to the right of another, or to the left if it is negative."""
    distance = (graph.widths[other] + graph.widths[node]) / 2
    return x[other] + gap + (distance if gap > 0 else -distance)
