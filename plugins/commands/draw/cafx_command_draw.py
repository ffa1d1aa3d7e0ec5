"""``cafx draw``: a net as a graph, layers coloured by kind, shapes on the edges."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import click
import graphviz

from cafx.kernel import CafxError, registry
from cafx.kernel.blob import shape_text
from cafx.kernel.net import SPLIT_ROLE, NetDefinition, Node, atomic_write, connect

COLOURS = {"data": "#cfe8cf", "loss": "#f6c8c8", "weights": "#c9dcf3", "other": "#ececec"}
TEXT_FORMATS = (".dot", ".gv")
IMAGE_FORMATS = (".svg", ".png", ".pdf")
OPTIONS_A_LINE = 2

Shapes = dict[str, str]
Counts = dict[str, int]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False), metavar="NET")
@click.option("--out", "-o", default="net.svg", show_default=True, help="A .svg, .png, .pdf or .dot file.")
@click.option("--rankdir", type=click.Choice(["TB", "LR", "BT", "RL"]), default="TB", show_default=True)
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"], case_sensitive=False), default="TRAIN", show_default=True)
@click.option("--level", default=0, show_default=True, help="The level.")
@click.option("--stage", "-s", multiple=True, help="A stage to set; may be repeated.")
@click.option("--no-shapes", is_flag=True, help="Draw what the file states; its data need not be here.")
@click.pass_obj
def draw(
    tools: Any, file: str, out: str, rankdir: str, phase: str, level: int, stage: tuple[str, ...], no_shapes: bool
) -> None:
    """Draw NET (a net's or solver's prototxt, or a net.py) as a graph.

    Data layers are green, losses red, layers with parameters blue (unless --no-shapes leaves
    parameters unknown). A layer that works in place hangs below the one whose blob it changes.
    Pictures need the program dot; a .dot file does not.
    """
    path = Path(out)
    if path.suffix not in TEXT_FORMATS + IMAGE_FORMATS:
        raise CafxError("cannot be drawn to", where=out, expected="a file ending in .svg, .png, .pdf or .dot")
    state: dict[str, Any] = {"level": level, "stage": stage}
    if no_shapes:
        graph = graph_of(tools.definition(file, phase, **state), rankdir)
    else:
        graph = _built(tools, file, phase, state, rankdir)
    content = graph.source.encode() if path.suffix in TEXT_FORMATS else _rendered(graph, path)
    with atomic_write(path) as written:
        written.write(content)
    click.echo(out)


def _built(tools: Any, file: str, phase: str, state: dict[str, Any], rankdir: str) -> graphviz.Digraph:
    """The graph with what only a net that is built knows."""
    try:
        net = tools.net(file, phase, **state)
    except CafxError as error:
        hint = "--no-shapes draws a net whose data is not here"
        error.remedy = f"{error.remedy}; {hint}" if error.remedy else hint
        raise
    with net:
        shapes = {name: shape_text(blob.shape) for name, blob in net.blobs.items()}
        counts = {name: sum(blob.count_ for blob in blobs) for name, blobs in net.params.items()}
        return graph_of(net.definition, rankdir, shapes, counts)


def graph_of(
    definition: NetDefinition, rankdir: str = "TB", shapes: Shapes | None = None, counts: Counts | None = None
) -> graphviz.Digraph:
    """One edge a blob that goes from one layer to another; automatic splits are not shown.

    Args:
        definition: a net's, splits in place.
        rankdir: which way data flows: TB is from top to bottom.
        shapes: of the blobs, as text by name.
        counts: how many parameters a layer has, by its name.
    """
    shapes, counts = shapes or {}, counts or {}
    net = connect(definition, registry())
    names = dict(enumerate(net.blob_names))
    split, maker, rows, edges = registry().load("role", SPLIT_ROLE), {}, {}, []
    for index, node in enumerate(net.nodes):
        if node.proto.type == split and node.proto.name.endswith("_split"):
            names.update(dict.fromkeys(node.tops, names[node.bottoms[0]]))
            maker.update(dict.fromkeys(node.tops, maker[node.bottoms[0]]))
            continue
        home = maker[node.bottoms[0]] if node.bottoms and node.bottoms == node.tops else index
        rows.setdefault(home, []).append(_row(node, counts.get(node.proto.name, 0)))
        if home == index:
            edges += [(maker[blob], index, blob) for blob in node.bottoms]
        maker.update(dict.fromkeys(node.tops, home))
    graph = _empty(definition.name, rankdir)
    for home, told in rows.items():
        graph.node(str(home), _stack(told))
    for start, end, blob in edges:
        graph.edge(str(start), str(end), _label(names[blob], shapes.get(net.blob_names[blob])))
    for blob in net.outputs:
        graph.node(f"out{blob}", _label(names[blob], shapes.get(net.blob_names[blob])), shape="plaintext")
        graph.edge(str(maker[blob]), f"out{blob}")
    return graph


def kind_of(node: Node, count: int) -> str:
    """By which colour a layer goes."""
    if node.layer_class.is_loss:
        return "loss"
    if node.layer_class.bottoms == 0:
        return "data"
    return "weights" if count else "other"


def _empty(name: str, rankdir: str) -> graphviz.Digraph:
    graph = graphviz.Digraph(graphviz.escape(name or "net"), graph_attr={"rankdir": rankdir, "nodesep": "0.4"})
    graph.attr("node", shape="plain", fontname="Helvetica", fontsize="11")
    graph.attr("edge", fontname="Helvetica", fontsize="9", color="#555555", fontcolor="#333333", arrowsize="0.7")
    return graph


def _row(node: Node, count: int) -> str:
    """A layer as one cell of a table: name, type, its options in small print, its parameters."""
    lines = [f"<b>{html.escape(node.proto.name)}</b>", html.escape(node.proto.type)]
    lines += [f'<font point-size="9">{line}</font>' for line in _options(node.proto)]
    lines += [f'<font point-size="9">{count:,} parameters</font>'] if count else []
    return f'<tr><td bgcolor="{COLOURS[kind_of(node, count)]}">{"<br/>".join(lines)}</td></tr>'


def _options(proto: Any) -> list[str]:
    """The numbers and choices a layer states for itself, some to a line."""
    told = []
    for hung, message in proto.ListFields():
        if hung.name.endswith("_param") and hung.message_type and not hung.is_repeated:
            told += [
                f"{field.name} {_value(field, value)}" for field, value in message.ListFields() if _is_short(field)
            ]
    lines = [told[i : i + OPTIONS_A_LINE] for i in range(0, len(told), OPTIONS_A_LINE)]
    return [html.escape(", ".join(line)) for line in lines]


def _is_short(field: Any) -> bool:
    return field.cpp_type not in (field.CPPTYPE_STRING, field.CPPTYPE_MESSAGE)


def _value(field: Any, value: Any) -> str:
    """A number or choice, or several, as prototxt has them."""
    if field.is_repeated:
        return " ".join(_value_text(field, each) for each in value)
    return _value_text(field, value)


def _value_text(field: Any, value: Any) -> str:
    if field.enum_type:
        return str(field.enum_type.values_by_number[value].name)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _stack(rows: list[str]) -> str:
    """A layer and, below it, those that work in place on what it makes."""
    return f'<<table border="0" cellborder="1" cellspacing="0" cellpadding="5" color="#555555">{"".join(rows)}</table>>'


def _label(name: str, shape: str | None) -> str:
    """Blob and shape, with room to the line beside them."""
    return graphviz.escape("\n".join(f"  {text}  " for text in (name, shape) if text))


def _rendered(graph: graphviz.Digraph, path: Path) -> bytes:
    try:
        rendered: bytes = graph.pipe(format=path.suffix[1:])
    except graphviz.ExecutableNotFound:
        raise CafxError(
            "the program dot is missing", remedy="install graphviz (apt install graphviz, brew install "
            "graphviz), or write a text file: --out net.dot",
        ) from None  # fmt: skip
    except graphviz.CalledProcessError as error:
        told = (error.stderr or b"").decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise CafxError(f"dot failed: {told[0]}", remedy="write a text file: --out net.dot") from None
    return rendered
