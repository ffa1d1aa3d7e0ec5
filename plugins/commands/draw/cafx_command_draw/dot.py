"""A picture in Graphviz's language, and drawn by it."""

from __future__ import annotations

import html
from typing import Any

import graphviz

from cafx.kernel import CafxError

from .picture import Cell, Picture, picture_of
from .svg import COLOURS, svg_of

SVG = "svg"


class Graph(graphviz.Digraph):
    """The graph of a net, which can also be drawn without Graphviz.

    Args:
        picture: what is drawn.
    """

    def __init__(self, picture: Picture) -> None:
        name = graphviz.escape(picture.name)
        super().__init__(name, graph_attr={"rankdir": picture.rankdir, "nodesep": "0.4"})
        self.picture = picture
        self.attr("node", shape="plain", fontname="Helvetica", fontsize="11")
        self.attr("edge", fontname="Helvetica", fontsize="9", color="#555555", fontcolor="#333333", arrowsize="0.7")
        for stack, cells in picture.stacks.items():
            self.node(str(stack), _stack(cells))
        for edge in picture.edges:
            label = graphviz.escape("\n".join(f"  {line}  " for line in edge.lines))
            if edge.end is None:
                self.node(f"out{edge.blob}", label, shape="plaintext")
                self.edge(str(edge.start), f"out{edge.blob}")
            else:
                self.edge(str(edge.start), str(edge.end), label)


def graph_of(*arguments: Any, **settings: Any) -> Graph:
    """The graph of a net, with one edge per blob and reader; the arguments are those of `picture_of`."""
    return Graph(picture_of(*arguments, **settings))


def _stack(cells: list[Cell]) -> str:
    """A layer and, below it, the in-place layers on its tops."""
    rows = "".join(f'<tr><td bgcolor="{COLOURS[cell.kind]}">{_cell(cell)}</td></tr>' for cell in cells)
    return f'<<table border="0" cellborder="1" cellspacing="0" cellpadding="5" color="#555555">{rows}</table>>'


def _cell(cell: Cell) -> str:
    lines = [f"<b>{html.escape(cell.name)}</b>", html.escape(cell.type)]
    lines += [f'<font point-size="9">{html.escape(detail, quote=False)}</font>' for detail in cell.details]
    return "<br/>".join(lines)


def render(graph: graphviz.Digraph, picture_format: str) -> bytes:
    """The picture of a graph; an SVG of a `Graph` does not need Graphviz.

    Args:
        graph: the graph.
        picture_format: a format of Graphviz, such as ``png``.

    Raises:
        CafxError: Graphviz is not installed, or cannot draw it.
    """
    try:
        rendered: bytes = graph.pipe(format=picture_format)
    except graphviz.ExecutableNotFound:
        if picture_format == SVG and isinstance(graph, Graph):
            return svg_of(graph.picture).encode()
        remedy = "write an .svg or .dot file, or install it (apt install graphviz, brew install graphviz)"
        raise CafxError("Graphviz's dot is not installed", remedy=remedy) from None
    except graphviz.CalledProcessError as error:
        lines = (error.stderr or b"").decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise CafxError(f"dot failed: {lines[0]}", remedy="write a text file: --out net.dot") from None
    return rendered
