"""Layouts of graphs: nothing overlaps, edges lead down, long ones are straight."""

from __future__ import annotations

import doctest
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx_command_draw import layered
from cafx_command_draw.layered import arrange

GAP, BETWEEN = 20.0, 26.0
CLOSE = 1e-6
SIZES = st.tuples(st.floats(10, 200), st.floats(10, 60))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[tuple[int, int]]]:
    """Sizes of nodes, and edges from earlier to later ones."""
    sizes = draw(st.lists(SIZES, min_size=1, max_size=14))
    pairs = list(combinations(range(len(sizes)), 2))
    return sizes, draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []


@settings(max_examples=60)
@given(graphs())
def test_no_nodes_overlap_and_edges_lead_down(graph: tuple[list[tuple[float, float]], list[tuple[int, int]]]) -> None:
    sizes, edges = graph
    layout = arrange(sizes, edges, GAP, BETWEEN)
    boxes = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(layout.centres, sizes, strict=True)]
    for (left, top, right, bottom), other in combinations(boxes, 2):
        beside = right <= other[0] + CLOSE or other[2] <= left + CLOSE
        assert beside or bottom <= other[1] + CLOSE or other[3] <= top + CLOSE
    for left, top, right, bottom in boxes:
        assert -CLOSE <= left <= right <= layout.width + CLOSE
        assert -CLOSE <= top <= bottom <= layout.height + CLOSE
    for start, end in edges:
        heights = [boxes[start][3], *(y for _, y in layout.routes[start, end]), boxes[end][1]]
        assert all(lower >= upper - CLOSE for upper, lower in pairwise(heights))
        assert boxes[end][1] - boxes[start][3] >= BETWEEN - CLOSE


@settings(max_examples=60)
@given(graphs())
def test_no_edge_passes_through_a_node(graph: tuple[list[tuple[float, float]], list[tuple[int, int]]]) -> None:
    sizes, edges = graph
    layout = arrange(sizes, edges, GAP, BETWEEN)
    for edge, route in layout.routes.items():
        for (x, top), (_, bottom) in zip(route[1::2], route[2::2], strict=True):
            for node, ((centre, middle), (width, height)) in enumerate(zip(layout.centres, sizes, strict=True)):
                if node not in edge and top - CLOSE <= middle - height / 2 <= bottom + CLOSE:
                    assert abs(centre - x) >= width / 2 + GAP - CLOSE


def test_a_chain_and_an_edge_past_it_are_straight() -> None:
    count = 8
    chain = list(pairwise(range(count)))
    layout = arrange([(60.0, 20.0)] * count, [*chain, (0, count - 1)], GAP, BETWEEN)
    passing = {x for x, _ in layout.routes[0, count - 1][1:]}
    assert len(passing) == 1
    assert len({round(x, 3) for x, _ in layout.centres[1:-1]}) == 1


def test_crossings_are_avoided_where_they_can_be() -> None:
    layout = arrange([(20.0, 20.0)] * 6, [(0, 5), (1, 4), (2, 3)], GAP, BETWEEN)
    upper, lower = [x for x, _ in layout.centres[:3]], [x for x, _ in layout.centres[:2:-1]]
    assert sorted(range(3), key=upper.__getitem__) == sorted(range(3), key=lower.__getitem__)


@pytest.mark.parametrize("count", [0, 1])
def test_graphs_without_edges(count: int) -> None:
    assert len(arrange([(10.0, 10.0)] * count, []).centres) == count


def test_examples_in_docstrings_run() -> None:
    results = doctest.testmod(layered)
    assert (results.failed, results.attempted > 0) == (0, True)
