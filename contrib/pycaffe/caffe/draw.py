"""Drawing nets: pycaffe's ``caffe.draw`` over the graph of ``cafx draw``.

A picture needs Graphviz's program ``dot``; a text file (``.dot``, ``.gv``, ``.raw``) does not.
"""

from __future__ import annotations

import shutil
from os import PathLike
from pathlib import Path
from typing import Any

from caffe.modes import TRAIN
from cafx.kernel import CafxError, Phase, registry
from cafx.kernel.files import atomic_write
from cafx.kernel.net import NetState, filter_layers, insert_splits, read_net

TEXT_FORMATS = ("dot", "gv", "raw")


class Graph:
    """The graph of a net, with the methods of ``pydot.Dot`` that scripts call.

    Args:
        graph: the ``graphviz.Digraph``.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph

    def to_string(self) -> str:
        """The graph in the DOT language."""
        source: str = self.graph.source
        return source

    def create(self, prog: str | None = None, format: str = "png") -> bytes:  # noqa: A002 - pydot's name
        """The picture, or the DOT text, as bytes.

        Args:
            prog: Graphviz's layout program (default: dot).
            format: ``png``, ``svg``, ``pdf`` or another format of Graphviz; ``raw``, ``dot`` or ``gv`` for text.

        Raises:
            CafxError: Graphviz is not installed, or does not know the format.
        """
        from cafx_command_draw import render

        if format in TEXT_FORMATS:
            return self.to_string().encode()
        self.graph.engine = prog or "dot"
        if shutil.which(self.graph.engine) is None:
            raise CafxError(
                f"Graphviz's {self.graph.engine} is not installed",
                where="caffe.draw",
                remedy="install it (apt install graphviz, brew install graphviz), or draw to a text file: net.dot",
            )
        picture: bytes = render(self.graph, format)
        return picture

    def write(self, path: str | PathLike[str], prog: str | None = None, format: str = "raw") -> None:  # noqa: A002
        """Write the picture or the DOT text to a file; arguments as for `create`."""
        content = self.create(prog, format)
        with atomic_write(Path(path)) as target:
            target.write(content)

    def write_png(self, path: str | PathLike[str]) -> None:
        """Write a PNG file."""
        self.write(path, format="png")

    def write_svg(self, path: str | PathLike[str]) -> None:
        """Write an SVG file."""
        self.write(path, format="svg")

    def write_pdf(self, path: str | PathLike[str]) -> None:
        """Write a PDF file."""
        self.write(path, format="pdf")


def get_pydot_graph(
    caffe_net: Any, rankdir: str = "LR", label_edges: bool = True, phase: int | None = None, display_lrm: bool = False
) -> Graph:
    """The graph of a net.

    Args:
        caffe_net: a NetParameter, or the path of a prototxt.
        rankdir: direction of data flow: LR is left to right, TB top to bottom.
        label_edges, display_lrm: accepted for compatibility, ignored.
        phase: TRAIN (the default) or TEST.

    Raises:
        CafxError: the net is not valid.
    """
    from cafx_command_draw import graph_of

    definition = read_net(caffe_net, registry())
    state = definition.proto.state
    chosen = NetState(Phase(TRAIN if phase is None else phase), state.level, tuple(state.stage))
    return Graph(graph_of(insert_splits(filter_layers(definition, chosen), registry()), rankdir))


def draw_net(
    caffe_net: Any, rankdir: str = "LR", ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """Draw a net; ``ext`` is the format of the picture, the other arguments are those of `get_pydot_graph`.

    Returns:
        The content of the picture's file.
    """
    return get_pydot_graph(caffe_net, rankdir, True, phase, display_lrm).create(format=ext)


def draw_net_to_file(
    caffe_net: Any,
    filename: str | PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw a net to a file, whose suffix is the format; the other arguments are those of `get_pydot_graph`."""
    graph = get_pydot_graph(caffe_net, rankdir, True, phase, display_lrm)
    graph.write(filename, format=Path(filename).suffix.removeprefix(".") or "png")
