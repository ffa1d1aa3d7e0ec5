"""What is drawn of a net: stacks of layers, and blobs between them."""

from __future__ import annotations

from typing import Any

import attrs

from cafx.cli.streams import printable
from cafx.kernel import registry
from cafx.kernel.net import SPLIT_ROLE, NetDefinition, Node, connect

OPTIONS_PER_LINE = 2

Shapes = dict[str, str]
Counts = dict[str, int]
Notes = dict[int, str]


@attrs.frozen
class Cell:
    """A layer.

    Attributes:
        name, type: of the layer.
        kind: ``"data"``, ``"loss"``, ``"weights"`` or ``"other"``, which decides the colour.
        details: options that are set, the number of parameters, and a note, a line each.
    """

    name: str
    type: str
    kind: str
    details: tuple[str, ...]


@attrs.frozen
class Edge:
    """A blob on its way from a stack to one that reads it, or out of the net.

    Attributes:
        start, end: stacks; the end is None for an output.
        blob: index of the blob, for an output.
        lines: the blob's name, and its shape if it is known.
    """

    start: int
    end: int | None
    blob: int
    lines: tuple[str, ...]


@attrs.frozen
class Picture:
    """A net as it is drawn.

    Attributes:
        name: of the net.
        rankdir: direction of data flow: TB is top to bottom.
        stacks: a layer and the layers that change its tops in place, by the index of the first.
        edges: blobs between stacks, and outputs.
    """

    name: str
    rankdir: str
    stacks: dict[int, list[Cell]]
    edges: list[Edge]


def picture_of(
    definition: NetDefinition,
    rankdir: str = "TB",
    shapes: Shapes | None = None,
    counts: Counts | None = None,
    notes: Notes | None = None,
) -> Picture:
    """What is drawn of a net, with one edge per blob and reader. Automatic splits are omitted.

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
    stacks: dict[int, list[Cell]] = {}
    edges: list[tuple[int, int, int]] = []
    for index, node in enumerate(net.nodes):
        if node.proto.type == split and node.proto.name.endswith("_split"):
            names.update(dict.fromkeys(node.tops, names[node.bottoms[0]]))
            producer.update(dict.fromkeys(node.tops, producer[node.bottoms[0]]))
            continue
        stack = producer[node.bottoms[0]] if node.bottoms and node.bottoms == node.tops else index
        stacks.setdefault(stack, []).append(_cell(node, counts.get(node.proto.name, 0), notes.get(index)))
        if stack == index:
            edges += [(producer[blob], index, blob) for blob in node.bottoms]
        producer.update(dict.fromkeys(node.tops, stack))

    def lines(blob: int) -> tuple[str, ...]:
        return tuple(printable(text) for text in (names[blob], shapes.get(net.blob_names[blob])) if text)

    between = [Edge(start, end, blob, lines(blob)) for start, end, blob in edges]
    outputs = [Edge(producer[blob], None, blob, lines(blob)) for blob in net.outputs]
    return Picture(printable(definition.name) or "net", rankdir, stacks, between + outputs)


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


def _cell(node: Node, count: int, note: str | None) -> Cell:
    details = _options(node.proto)
    details += [f"{count:,} parameters"] if count else []
    details += [printable(note)] if note else []
    return Cell(printable(node.proto.name), printable(node.proto.type), kind_of(node, count), tuple(details))


def _options(proto: Any) -> list[str]:
    """The numeric and enum options that are set, `OPTIONS_PER_LINE` per line."""
    texts = []
    for nested, message in proto.ListFields():
        if nested.name.endswith("_param") and nested.message_type and not nested.is_repeated:
            texts += [
                f"{field.name} {_value(field, value)}" for field, value in message.ListFields() if _is_short(field)
            ]
    return [", ".join(texts[i : i + OPTIONS_PER_LINE]) for i in range(0, len(texts), OPTIONS_PER_LINE)]


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
