"""``cafx draw``: a net as a graph, with layers coloured by kind, and blobs with their shapes between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .command import draw
from .dot import Graph, graph_of, render

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

__all__ = ["Graph", "cases", "draw", "graph_of", "render"]


def cases() -> Iterable[CommandCase]:
    """A graph as text, with shapes and without."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx.conformance.kinds.files import write_net

    yield CommandCase("shapes", ["net.prototxt", "net.dot"], write_net, ["net.dot"])
    yield CommandCase("no-shapes", ["net.prototxt", "net.dot", "--no-shapes"], write_net, ["net.dot"])
