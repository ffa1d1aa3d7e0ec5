"""Connecting layers by the names of their blobs, and checking that the connection makes sense."""

from __future__ import annotations

from typing import Any

import attrs

from cafx.kernel.errors import CafxError
from cafx.kernel.net.definition import LayerDefinition, NetDefinition
from cafx.kernel.net.layer import Layer, arity_text, fits
from cafx.kernel.registry import Registry

AUTOMATIC = "(automatic)"


@attrs.frozen
class Node:
    """One layer of the graph: its class, and its bottoms and tops as indices of blobs."""

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
    """The connected net: nodes in order, blobs by index, and which are inputs and outputs."""

    name: str
    nodes: list[Node]
    blob_names: list[str]
    inputs: list[int]
    outputs: list[int]


class _Names:
    """Which blob each name means at the current layer, and which nobody has read yet."""

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
            blob = self.index[name] = self.make(name)
        self.unread.add(blob)
        return blob

    def make(self, name: str) -> int:
        self.blobs.append(name)
        return len(self.blobs) - 1


def connect(definition: NetDefinition, plugins: Registry) -> Graph:
    """The graph of a definition whose splits are in place.

    Raises:
        CafxError: unknown layer type, wrong number of bottoms or tops, a blob written twice, a
            ``propagate_down`` that does not match the bottoms, or a layer in place that cannot be.
    """
    names = _Names()
    nodes: list[Node] = []
    inputs: list[int] = []
    for layer in definition.layers:
        layer_class = find_layer(layer, plugins)
        check_arity(layer, layer_class)
        bottoms = [names.read(bottom) for bottom in layer.proto.bottom]
        tops = [_top(layer, position, names) for position in range(len(layer.proto.top))]
        tops += [names.make(AUTOMATIC) for _ in range(_missing_tops(layer, layer_class))]
        _check_in_place(layer, layer_class, bottoms, tops)
        if layer_class.is_input:
            inputs += tops
        nodes.append(Node(layer, layer_class, bottoms, tops))
    outputs = sorted(names.unread, key=lambda blob: names.blobs[blob])
    return Graph(definition.name, nodes, names.blobs, inputs, outputs)


def find_layer(layer: LayerDefinition, plugins: Registry) -> type[Layer]:
    """The class that runs a layer's type."""
    try:
        found: type[Layer] = plugins.load("layer", layer.proto.type)
    except CafxError as error:
        raise type(error)(error.message, remedy=error.remedy).at(layer.where) from error
    return found


def check_arity(layer: LayerDefinition, layer_class: type[Layer]) -> None:
    """CafxError unless the layer's bottoms, tops and propagate_down are as many as it takes."""
    bottoms, tops = len(layer.proto.bottom), len(layer.proto.top)
    if not fits(layer_class.bottoms, bottoms):
        raise layer.error("takes another number of bottoms", found=bottoms, expected=arity_text(layer_class.bottoms))
    allowed = layer_class.tops
    if layer_class.automatic_tops:
        allowed = (0, allowed if isinstance(allowed, int) else allowed[1])
    if not fits(allowed, tops):
        raise layer.error("makes another number of tops", found=tops, expected=arity_text(allowed))
    if layer_class.equal_bottoms_tops and bottoms != tops:
        raise layer.error("makes one top a bottom", found=f"{bottoms} bottoms and {tops} tops")
    if len(layer.proto.propagate_down) not in (0, bottoms):
        raise layer.error(
            "propagate_down is stated for none or for each of the bottoms",
            found=len(layer.proto.propagate_down),
            expected=f"0 or {bottoms}",
        )


def _missing_tops(layer: LayerDefinition, layer_class: type[Layer]) -> int:
    if not layer_class.automatic_tops:
        return 0
    least = layer_class.tops if isinstance(layer_class.tops, int) else layer_class.tops[0]
    return max(0, least - len(layer.proto.top))


def _top(layer: LayerDefinition, position: int, names: _Names) -> int:
    name = layer.proto.top[position]
    bottoms = layer.proto.bottom
    in_place = position < len(bottoms) and bottoms[position] == name
    if name in names.index and not in_place:
        raise layer.error(
            f"top blob '{name}' is made by more than one layer",
            remedy="give this top another name, or name it as the bottom at the same position "
            "to work in place (and let no other layer read that blob before)",
        )
    return names.write(name)


def _check_in_place(layer: LayerDefinition, layer_class: type[Layer], bottoms: list[int], tops: list[int]) -> None:
    if not layer_class.in_place and set(bottoms) & set(tops):
        raise layer.error("cannot work in place", remedy="give its top a name of its own")
