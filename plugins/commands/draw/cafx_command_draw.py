"""``cafx draw``: a net as a graph, with layers coloured by kind and shapes on the edges."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import click
import graphviz

from cafx.cli.lazy import Settings
from cafx.cli.nets import inspect_net
from cafx.cli.options import dialect_option, state_options, trust_option
from cafx.cli.streams import printable
from cafx.kernel import CafxError, registry
from cafx.kernel.blob import shape_text
from cafx.kernel.files import atomic_write
from cafx.kernel.net import SPLIT_ROLE, NetDefinition, Node, connect

COLOURS = {"data": "#cfe8cf", "loss": "#f6c8c8", "weights": "#c9dcf3", "other": "#ececec"}
TEXT_FORMATS = (".dot", ".gv")
IMAGE_FORMATS = (".svg", ".png", ".pdf")
OPTIONS_PER_LINE = 2
UNKNOWN = "unknown"

Shapes = dict[str, str]
Counts = dict[str, int]
Notes = dict[int, str]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False), metavar="NET")
@click.argument("picture", metavar="[OUT]", required=False)
@click.option("--out", "-o", metavar="FILE", help="A .svg, .png, .pdf or .dot file, as OUT (default: net.svg).")
@click.option(
    "--rankdir",
    type=click.Choice(["TB", "LR", "BT", "RL"]),
    default="TB",
    show_default=True,
    help="Direction of data flow: TB is top to bottom.",
)
@dialect_option
@state_options("TRAIN")
@trust_option
@click.option("--no-shapes", is_flag=True, help="Draw without building the net; its data are not needed.")
@click.pass_obj
def draw(
    settings: Settings,
    file: str,
    picture: str | None,
    out: str | None,
    rankdir: str,
    phase: str,
    level: int,
    stage: tuple[str, ...],
    trust: bool,
    no_shapes: bool,
) -> None:
    """Draw NET (a net's or solver's prototxt, or a net.py) as a graph.

    Data layers are green, losses red, layers with parameters blue (grey with --no-shapes). In-place layers
    are stacked below the layer whose blob they change. Pictures need Graphviz's dot; a .dot file does not.

    Python layers of a prototxt, and layers behind them, have no shapes: their modules are not imported, unless
    --trust says so.
    """
    if out and picture:
        raise click.UsageError(f"Two pictures are named: {picture} and {out}.")
    out = out or picture or "net.svg"
    path = Path(out)
    if path.suffix not in TEXT_FORMATS + IMAGE_FORMATS:
        raise CafxError("unsupported picture format", where=out, expected="a file ending in .svg, .png, .pdf or .dot")
    state: dict[str, Any] = {"level": level, "stage": stage}
    if no_shapes:
        graph = graph_of(settings.definition(file, phase, **state), rankdir)
    else:
        graph = _graph_of_built(file, phase, {**state, "trust": trust}, rankdir)
    content = graph.source.encode() if path.suffix in TEXT_FORMATS else render(graph, path.suffix[1:])
    with atomic_write(path) as target:
        target.write(content)
    click.echo(out)


def _graph_of_built(file: str, phase: str, settings: dict[str, Any], rankdir: str) -> graphviz.Digraph:
    """The graph with shapes and parameter counts, for which the net is built."""
    try:
        inspected = inspect_net(file, phase, **settings)
    except CafxError as error:
        hint = "--no-shapes draws a net without its data"
        error.remedy = f"{error.remedy}; {hint}" if error.remedy else hint
        raise
    with inspected.net as net:
        shapes = {name: shape_text(blob.shape) for name, blob in net.blobs.items()}
        counts = {name: sum(blob.count_ for blob in blobs) for name, blobs in net.params.items()}
    layers = inspected.definition.layers
    shapes |= {top: UNKNOWN for index in inspected.left_out for top in layers[index].proto.top}
    return graph_of(inspected.definition, rankdir, shapes, counts, inspected.not_loaded)


def graph_of(
    definition: NetDefinition,
    rankdir: str = "TB",
    shapes: Shapes | None = None,
    counts: Counts | None = None,
    notes: Notes | None = None,
) -> graphviz.Digraph:
    """The graph of a net, with one edge per blob and reader. Automatic splits are omitted.

    Args:
        definition: the net's definition after inserting splits.
        rankdir: direction of data flow: TB is top to bottom.
        shapes: shapes of blobs as text, by name.
        counts: numbers of parameters, by name of layer.
        notes: what to say of layers, by index.
    """
    shapes, counts, notes = shapes or {}, counts or {}, notes or {}
    net = connect(definition, registry())
    names = dict(enumerate(net.blob_names))
    split = registry().load("role", SPLIT_ROLE)
    producer: dict[int, int] = {}
    rows: dict[int, list[str]] = {}
    edges: list[tuple[int, int, int]] = []
    for index, node in enumerate(net.nodes):
        if node.proto.type == split and node.proto.name.endswith("_split"):
            names.update(dict.fromkeys(node.tops, names[node.bottoms[0]]))
            producer.update(dict.fromkeys(node.tops, producer[node.bottoms[0]]))
            continue
        stack = producer[node.bottoms[0]] if node.bottoms and node.bottoms == node.tops else index
        rows.setdefault(stack, []).append(_row(node, counts.get(node.proto.name, 0), notes.get(index)))
        if stack == index:
            edges += [(producer[blob], index, blob) for blob in node.bottoms]
        producer.update(dict.fromkeys(node.tops, stack))
    graph = _empty(definition.name, rankdir)
    for stack, cells in rows.items():
        graph.node(str(stack), _stack(cells))
    for start, end, blob in edges:
        graph.edge(str(start), str(end), _label(names[blob], shapes.get(net.blob_names[blob])))
    for blob in net.outputs:
        graph.node(f"out{blob}", _label(names[blob], shapes.get(net.blob_names[blob])), shape="plaintext")
        graph.edge(str(producer[blob]), f"out{blob}")
    return graph


def kind_of(node: Node, count: int) -> str:
    """The kind of a layer, which decides its colour.

    Args:
        node: the layer.
        count: its number of parameters.
    """
    if node.layer_class.is_loss:
        return "loss"
    if node.layer_class.bottoms == 0:
        return "data"
    return "weights" if count else "other"


def _empty(name: str, rankdir: str) -> graphviz.Digraph:
    graph = graphviz.Digraph(
        graphviz.escape(printable(name) or "net"), graph_attr={"rankdir": rankdir, "nodesep": "0.4"}
    )
    graph.attr("node", shape="plain", fontname="Helvetica", fontsize="11")
    graph.attr("edge", fontname="Helvetica", fontsize="9", color="#555555", fontcolor="#333333", arrowsize="0.7")
    return graph


def _row(node: Node, count: int, note: str | None) -> str:
    """A layer as one cell of an HTML table: name, type, options, number of parameters and a note."""
    name, kind = (html.escape(printable(text)) for text in (node.proto.name, node.proto.type))
    lines = [f"<b>{name}</b>", kind]
    lines += [f'<font point-size="9">{line}</font>' for line in _options(node.proto)]
    lines += [f'<font point-size="9">{count:,} parameters</font>'] if count else []
    lines += [f'<font point-size="9">{html.escape(printable(note), quote=False)}</font>'] if note else []
    return f'<tr><td bgcolor="{COLOURS[kind_of(node, count)]}">{"<br/>".join(lines)}</td></tr>'


def _options(proto: Any) -> list[str]:
    """The numeric and enum options that are set, `OPTIONS_PER_LINE` per line."""
    texts = []
    for nested, message in proto.ListFields():
        if nested.name.endswith("_param") and nested.message_type and not nested.is_repeated:
            texts += [
                f"{field.name} {_value(field, value)}" for field, value in message.ListFields() if _is_short(field)
            ]
    lines = [texts[i : i + OPTIONS_PER_LINE] for i in range(0, len(texts), OPTIONS_PER_LINE)]
    return [html.escape(", ".join(line)) for line in lines]


def _is_short(field: Any) -> bool:
    return field.cpp_type not in (field.CPPTYPE_STRING, field.CPPTYPE_MESSAGE)


def _value(field: Any, value: Any) -> str:
    """One or several numbers or enum values, as in prototxt."""
    if field.is_repeated:
        return " ".join(_value_text(field, each) for each in value)
    return _value_text(field, value)


def _value_text(field: Any, value: Any) -> str:
    if field.enum_type:
        return str(field.enum_type.values_by_number[value].name)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _stack(rows: list[str]) -> str:
    """A layer and, below it, the in-place layers on its tops."""
    return f'<<table border="0" cellborder="1" cellspacing="0" cellpadding="5" color="#555555">{"".join(rows)}</table>>'


def _label(name: str, shape: str | None) -> str:
    """Blob and shape, with space between the text and the edge."""
    return graphviz.escape("\n".join(f"  {printable(text)}  " for text in (name, shape) if text))


def render(graph: graphviz.Digraph, picture_format: str) -> bytes:
    """The picture of a graph.

    Args:
        graph: the graph.
        picture_format: a format of Graphviz, such as ``png``.

    Raises:
        CafxError: Graphviz is not installed, or cannot draw it.
    """
    try:
        rendered: bytes = graph.pipe(format=picture_format)
    except graphviz.ExecutableNotFound:
        raise CafxError(
            "Graphviz's dot is not installed",
            remedy="install it (apt install graphviz, brew install graphviz), or write a text file: --out net.dot",
        ) from None
    except graphviz.CalledProcessError as error:
        lines = (error.stderr or b"").decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise CafxError(f"dot failed: {lines[0]}", remedy="write a text file: --out net.dot") from None
    return rendered
