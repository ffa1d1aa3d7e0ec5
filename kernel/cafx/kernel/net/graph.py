"""Connecting layers by the names of their blobs, and checking the connections."""

from __future__ import annotations

from typing import Any

import attrs

from cafx.kernel.errors import CafxError
from cafx.kernel.net.definition import LayerDefinition, NetDefinition
from cafx.kernel.net.layer import Arity, Layer
from cafx.kernel.registry import Registry

AUTOMATIC = "(automatic)"


@attrs.frozen
class Node:
    """One layer of a graph.

    Attributes:
        definition: the layer as written in its file.
        layer_class: class of the layer.
        bottoms: indices of its bottoms in `Graph.blob_names`.
        tops: indices of its tops.
    """

    definition: LayerDefinition
    layer_class: type[Layer]
    bottoms: list[int]
    tops: list[int]

    @property
    def proto(self) -> Any:
        """The layer's LayerParameter."""
        return self.definition.proto


@attrs.frozen
class Graph:
    """A net as a graph of layers and blobs.

    Attributes:
        name: name of the net.
        nodes: the layers, in order.
        blob_names: name of each blob.
        inputs: indices of the input blobs.
        outputs: indices of the blobs that no layer reads, in order of their names.
    """

    name: str
    nodes: list[Node]
    blob_names: list[str]
    inputs: list[int]
    outputs: list[int]


class _Names:
    """The blob each name refers to at the current layer, and the blobs not read yet."""

    def __init__(self) -> None:
        self.blobs: list[str] = []
        self.index: dict[str, int] = {}
        self.unread: set[int] = set()

    def read(self, name: str) -> int:
        self.unread.discard(self.index[name])
        return self.index[name]

    def write(self, name: str) -> int:
        blob = self.index.get(name)
        if blob is None:
            blob = self.index[name] = self.add(name)
        self.unread.add(blob)
        return blob

    def add(self, name: str) -> int:
        self.blobs.append(name)
        return len(self.blobs) - 1


def connect(definition: NetDefinition, plugins: Registry) -> Graph:
    """Connect the layers of a net.

    Args:
        definition: the net, filtered and with splits inserted: every blob is read at most once.
        plugins: where layers are found.

    Raises:
        CafxError: an unknown layer type, a wrong number of bottoms, tops or ``propagate_down`` entries, a
            blob that is the top of several layers, or a layer that cannot work in place but has a bottom
            as top.

    Example:
        >>> from cafx.kernel import registry, schema
        >>> from cafx.kernel.net import read_net
        >>> text = '''
        ... layer { name: "x" type: "Input" top: "x" }
        ... layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }'''
        >>> graph = connect(read_net(schema().parse_text(text, "NetParameter"), registry()), registry())
        >>> graph.blob_names, graph.inputs, graph.outputs
        (['x', 'y'], [0], [1])
    """
    _check_types(definition, plugins)
    names = _Names()
    nodes: list[Node] = []
    inputs: list[int] = []
    for layer in definition.layers:
        layer_class = find_layer(layer, plugins)
        _check(layer, layer_class)
        bottoms = [names.read(bottom) for bottom in layer.proto.bottom]
        tops = [_top(layer, position, names) for position in range(len(layer.proto.top))]
        tops += [names.add(AUTOMATIC) for _ in range(_missing_tops(layer, layer_class))]
        _check_in_place(layer, layer_class, bottoms, tops)
        if layer_class.is_input:
            inputs += tops
        nodes.append(Node(layer, layer_class, bottoms, tops))
    outputs = sorted(names.unread, key=lambda blob: names.blobs[blob])
    return Graph(definition.name, nodes, names.blobs, inputs, outputs)


def _check_types(definition: NetDefinition, plugins: Registry) -> None:
    """If several layer types are unknown, name all of them; `find_layer` refuses a single one."""
    known = plugins.names("layer")
    unknown = {each.proto.type: each.line for each in reversed(definition.layers) if each.proto.type not in known}
    hints = plugins.hints() if len(unknown) > 1 else None
    if hints:
        raise hints.lacking([("layer", name, line) for name, line in reversed(unknown.items())], definition.source)


def find_layer(layer: LayerDefinition, plugins: Registry) -> type[Layer]:
    """The class of a layer.

    Args:
        layer: the layer as written in its file.
        plugins: where layers are found.

    Raises:
        CafxError: the layer type is unknown, or its plugin cannot be used.
    """
    try:
        layer_class: type[Layer] = plugins.load("layer", layer.proto.type)
    except CafxError as error:
        raise type(error)(error.message, remedy=error.remedy).at(layer.where) from error
    return layer_class


def _check(layer: LayerDefinition, layer_class: type[Layer]) -> None:
    """Check the numbers of bottoms, tops and ``propagate_down`` entries."""
    bottoms, tops, entries = (len(getattr(layer.proto, name)) for name in ("bottom", "top", "propagate_down"))
    try:
        check_arity(layer_class, bottoms, tops)
    except CafxError as error:
        raise error.at(layer.where) from None
    if entries not in (0, bottoms):
        raise layer.error("wrong number of propagate_down entries", found=entries, expected=f"0 or {bottoms}")


def _missing_tops(layer: LayerDefinition, layer_class: type[Layer]) -> int:
    if not layer_class.automatic_tops:
        return 0
    return max(0, _limits(layer_class.tops)[0] - len(layer.proto.top))


def _top(layer: LayerDefinition, position: int, names: _Names) -> int:
    name = layer.proto.top[position]
    bottoms = layer.proto.bottom
    in_place = position < len(bottoms) and bottoms[position] == name
    if name in names.index and not in_place:
        raise layer.error(
            f"top blob '{name}' is the top of more than one layer",
            remedy="rename this top or, to work in place, name it as the bottom at the same position "
            "and let no other layer read that blob before",
        )
    return names.write(name)


def _check_in_place(layer: LayerDefinition, layer_class: type[Layer], bottoms: list[int], tops: list[int]) -> None:
    if not layer_class.in_place and set(bottoms) & set(tops):
        raise layer.error(f"cannot work in place{layer_class.in_place_reason}", remedy="give its top another name")


def arity_text(arity: Arity) -> str:
    """The allowed numbers of bottoms or tops, for messages.

    Args:
        arity: a number, or (minimum, maximum) where None means no limit.

    Example:
        >>> [arity_text(arity) for arity in (2, (1, None), (2, 3))]
        ['2', '1 or more', '2 to 3']
    """
    if isinstance(arity, int):
        return str(arity)
    low, high = arity
    return f"{low} or more" if high is None else f"{low} to {high}"


def fits(arity: Arity, count: int) -> bool:
    """Whether a number of bottoms or tops is allowed.

    Args:
        arity: the allowed numbers, as for `arity_text`.
        count: the number.

    Example:
        >>> fits((1, None), 3), fits(2, 3)
        (True, False)
    """
    low, high = _limits(arity)
    return low <= count and (high is None or count <= high)


def check_arity(layer_class: type[Layer], bottoms: int, tops: int, tops_remedy: str | None = None) -> None:
    """Check the number of bottoms and tops of a layer.

    Args:
        layer_class: class of the layer, which declares the numbers it allows.
        bottoms: number of bottoms.
        tops: number of named tops.
        tops_remedy: how to change the number of tops, for the error.

    Raises:
        CafxError: the layer does not allow these numbers. The error has no location.

    Example:
        >>> check_arity(Layer, bottoms=2, tops=1)
        Traceback (most recent call last):
        cafx.kernel.errors.CafxError: wrong number of bottoms: got 2, expected 1
    """
    if not fits(layer_class.bottoms, bottoms):
        raise CafxError("wrong number of bottoms", found=bottoms, expected=arity_text(layer_class.bottoms))
    allowed = (0, _limits(layer_class.tops)[1]) if layer_class.automatic_tops else layer_class.tops
    if not fits(allowed, tops):
        raise CafxError("wrong number of tops", found=tops, expected=arity_text(allowed), remedy=tops_remedy)
    if layer_class.equal_bottoms_tops and bottoms != tops:
        raise CafxError("needs as many tops as bottoms", found=tops, expected=bottoms, remedy=tops_remedy)


def _limits(arity: Arity) -> tuple[int, int | None]:
    return (arity, arity) if isinstance(arity, int) else arity
