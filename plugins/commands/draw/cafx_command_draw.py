"""``cafx draw``: a net as a graph, layers coloured by kind, shapes on the edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import graphviz

from cafx.kernel import CafxError, Layer, Net
from cafx.kernel.blob import shape_text
from cafx.kernel.files import atomic_write

COLOURS = {"data": "#cfe8cf", "loss": "#f6c8c8", "weights": "#c9dcf3", "other": "#ececec", "split": "#ffffff"}
TEXT_FORMATS = (".dot", ".gv")
IMAGE_FORMATS = (".svg", ".png", ".pdf")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False), metavar="NET")
@click.option("--out", "-o", default="net.svg", show_default=True, help="A .svg, .png, .pdf or .dot file.")
@click.option("--rankdir", type=click.Choice(["TB", "LR", "BT", "RL"]), default="TB", show_default=True)
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), default="TRAIN", show_default=True)
@click.option("--level", default=0, show_default=True, help="The level.")
@click.option("--stage", "-s", multiple=True, help="A stage to set; may be repeated.")
@click.pass_obj
def draw(tools: Any, file: str, out: str, rankdir: str, phase: str, level: int, stage: tuple[str, ...]) -> None:
    """Draw NET (a net's or solver's prototxt, or a net.py) as a graph.

    Data layers are green, losses red, layers with parameters blue. Pictures need the program dot;
    a .dot file does not.
    """
    path = Path(out)
    if path.suffix not in TEXT_FORMATS + IMAGE_FORMATS:
        raise CafxError("cannot be drawn to", where=out, expected="a file ending in .svg, .png, .pdf or .dot")
    with tools.net(file, phase, level=level, stage=stage) as net:
        graph = graph_of(net, rankdir)
    content = graph.source.encode() if path.suffix in TEXT_FORMATS else _rendered(graph, path)
    with atomic_write(path) as written:
        written.write(content)
    click.echo(out)


def graph_of(net: Net, rankdir: str = "TB") -> graphviz.Digraph:
    """One node a layer, one edge a blob that goes from one layer to another."""
    graph = graphviz.Digraph(graphviz.escape(net.name or "net"), graph_attr={"rankdir": rankdir})
    graph.attr("node", shape="box", style="filled,rounded", fontname="Helvetica", fontsize="11")
    graph.attr("edge", fontname="Helvetica", fontsize="9")
    maker: dict[Any, int] = {}
    for index, layer in enumerate(net.layers):
        count = sum(blob.count_ for blob in layer.blobs)
        lines = [layer.name, layer.type, *([f"{count:,} parameters"] if count else [])]
        graph.node(str(index), graphviz.escape("\n".join(lines)), fillcolor=COLOURS[kind_of(layer)])
        for bottom in net.bottoms[index]:
            label = f"{bottom.name}\n{shape_text(bottom.shape)}"
            graph.edge(str(maker[bottom]), str(index), graphviz.escape(label))
        maker.update(dict.fromkeys(net.tops[index], index))
    for name in net.outputs:
        blob = net.blobs[name]
        graph.node(f"out_{name}", graphviz.escape(f"{name}\n{shape_text(blob.shape)}"), shape="plaintext", style="")
        graph.edge(str(maker[blob]), f"out_{name}")
    return graph


def kind_of(layer: Layer) -> str:
    """By which colour a layer goes."""
    if layer.is_loss:
        return "loss"
    if layer.bottoms == 0:
        return "data"
    if layer.name.endswith("_split"):
        return "split"
    return "weights" if layer.blobs else "other"


def _rendered(graph: graphviz.Digraph, path: Path) -> bytes:
    try:
        rendered: bytes = graph.pipe(format=path.suffix[1:])
    except graphviz.ExecutableNotFound:
        raise CafxError(
            "the program dot is missing", remedy="install graphviz (apt install graphviz, brew install "
            "graphviz), or write a text file: --out net.dot",
        ) from None  # fmt: skip
    return rendered
