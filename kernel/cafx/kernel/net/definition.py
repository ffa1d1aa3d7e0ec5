"""From prototxt to the layers of a net: read, upgrade, filter by state, insert splits.

Each stage is a function from one NetDefinition to the next.

Example:
    >>> from cafx.kernel import registry, schema
    >>> text = 'layer { name: "x" type: "Input" top: "x" } layer { name: "r" type: "ReLU" bottom: "x" top: "y" }'
    >>> definition = read_net(schema().parse_text(text, "NetParameter"), registry())
    >>> [layer.proto.name for layer in definition.layers]
    ['x', 'r']
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs

from cafx.kernel.blob import Blob
from cafx.kernel.crash import locating
from cafx.kernel.errors import CafxError, did_you_mean
from cafx.kernel.registry import Registry
from cafx.kernel.schema import Phase, layer_lines, schema

SPLIT_ROLE = "split"
MESSAGES = {
    "NetParameter": ("net", "the path of a prototxt, or a NetParameter message or NetSpec"),
    "SolverParameter": ("solver", "a SolverParameter message or SolverSpec; Solver.load reads a prototxt"),
}
Source = str | Path | Any


@attrs.frozen
class LayerDefinition:
    """One layer as written in its file.

    Attributes:
        proto: the LayerParameter.
        source: name of the file or net, for errors.
        line: line number in the file, if known.
    """

    proto: Any
    source: str
    line: int | None = None

    @property
    def where(self) -> str:
        """The location for errors: ``lenet.prototxt:23: layer 'conv1' (Convolution)``."""
        place = f"{self.source}:{self.line}: " if self.line else f"{self.source}: "
        return f"{place}layer '{self.proto.name}' ({self.proto.type})"

    def error(self, message: str, **details: Any) -> CafxError:
        """A CafxError located at this layer; ``details`` are the keywords of `CafxError`."""
        return CafxError(message, where=self.where, **details)

    def locating(self, plugins: Registry) -> AbstractContextManager[None]:
        """Around calls of the layer's code: errors name this layer, file and line; see `locating`."""
        return locating(plugins, "layer", self.proto.type, self.where)


@attrs.frozen
class NetDefinition:
    """A net as written in its file.

    Attributes:
        proto: the NetParameter, for the options of the whole net.
        layers: the layers, in order.
        source: name of the file or net, for errors.
        shapeless: names of ``input`` fields without shapes, which are no blobs.
    """

    proto: Any
    layers: list[LayerDefinition]
    source: str
    shapeless: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The net's name."""
        return str(self.proto.name)


@attrs.frozen
class NetState:
    """The state that a net is built for; include and exclude rules are matched against it.

    Attributes:
        phase: TRAIN or TEST.
        level: for min_level and max_level rules.
        stages: for stage and not_stage rules.
    """

    phase: Phase
    level: int = 0
    stages: tuple[str, ...] = ()


def read_net(source: Source, plugins: Registry) -> NetDefinition:
    """Read a net and upgrade it to the current format.

    Args:
        source: path of a prototxt file, a NetParameter message, or what `as_message` makes one of.
        plugins: plugins that declare layer options and upgrades.

    Raises:
        CafxError: the file is unreadable or not valid, or cannot be upgraded.
    """
    composed = schema(plugins)
    lines: list[int] = []
    if isinstance(source, (str, Path)):
        proto = composed.read_text(source, "NetParameter")
        lines = layer_lines(Path(source).read_text("utf-8", "replace"))
        name = str(source)
    else:
        source = as_message(source, "NetParameter")
        proto = composed.parse_bytes(source.SerializePartialToString(), "NetParameter")
        name = f"net '{source.name}'" if source.name else "net"
    shapeless = () if proto.input_shape or proto.input_dim else tuple(proto.input)
    proto = upgrade(proto, plugins, name)
    layers = [LayerDefinition(layer, *_place(layer, name)) for layer in proto.layer]
    if len(lines) == len(layers):
        layers = [attrs.evolve(layer, line=line) for layer, line in zip(layers, lines, strict=True)]
    return NetDefinition(proto, layers, name, shapeless)


def as_message(source: Any, name: str) -> Any:
    """The message of a net or solver: ``source``, or what its ``__proto__()`` or ``to_proto()`` returns.

    Args:
        source: a message or, for example, a NetSpec, whose ``__proto__`` also says where each layer is written.
        name: NetParameter or SolverParameter.

    Raises:
        CafxError: it is something else.
    """
    convert = getattr(source, "__proto__", None) or getattr(source, "to_proto", None)
    message = convert() if convert and not isinstance(source, Blob) else source
    found = getattr(getattr(message, "DESCRIPTOR", None), "name", type(message).__name__)
    if found != name:
        kind, expected = MESSAGES[name]
        raise CafxError(f"a {kind} is built from its definition", found=found, expected=expected)
    return message


def _place(layer: Any, source: str) -> tuple[str, int | None]:
    """The file and line of a layer that was written in Python, taken out of its LayerParameter."""
    path, _, line = layer.cafx_place.rpartition(":")
    layer.ClearField("cafx_place")
    return (path, int(line)) if line.isdecimal() else (source, None)


def upgrade(proto: Any, plugins: Registry, source: str = "net") -> Any:
    """Upgrade a NetParameter to the current format, by plugins of group ``cafx.upgrades``.

    Args:
        proto: the NetParameter; may be modified.
        plugins: where to find upgrades.
        source: name of the net, for errors.

    Returns:
        The upgraded NetParameter.

    Raises:
        CafxError: the net has a legacy format that no installed plugin upgrades.
    """
    for _, upgrader in plugins.usable("upgrade"):
        proto = upgrader().upgrade_net(proto, source)
    if proto.input:
        remedy = f"try: {plugins.install_line('cafx-upgrade-legacy')}"
        raise CafxError("declares its inputs in a legacy format", where=source, found="input: ...", remedy=remedy)
    return proto


def filter_layers(definition: NetDefinition, state: NetState) -> NetDefinition:
    """Keep only the layers whose include and exclude rules match ``state``.

    Raises:
        CafxError: a layer has both include and exclude rules.
    """
    kept = [layer for layer in definition.layers if is_included(layer, state)]
    return attrs.evolve(definition, layers=kept)


def is_included(layer: LayerDefinition, state: NetState) -> bool:
    """Whether a net of this state includes the layer.

    Raises:
        CafxError: the layer has both include and exclude rules.
    """
    include, exclude = layer.proto.include, layer.proto.exclude
    if include and exclude:
        raise layer.error("has both include and exclude rules", remedy="use only one kind")
    if include:
        return any(meets(rule, state) for rule in include)
    return not any(meets(rule, state) for rule in exclude)


def meets(rule: Any, state: NetState) -> bool:
    """Whether ``state`` satisfies all fields that are set in a NetStateRule."""
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and all(stage in state.stages for stage in rule.stage)
        and not any(stage in state.stages for stage in rule.not_stage)
    )


Producer = tuple[int, int]


def insert_splits(definition: NetDefinition, plugins: Registry) -> NetDefinition:
    """Insert a Split layer after each layer whose top has several consumers, with one top per consumer.

    The split of blob b, top number t of layer l, is called ``b_l_t_split`` as in Caffe; its tops have
    the suffixes ``_0``, ``_1``, … A loss weight counts as one more consumer, the first.

    Args:
        definition: the net.
        plugins: provides the type of the inserted layers (role ``split``).

    Raises:
        CafxError: a bottom that no earlier layer produces.
    """
    producers, uses = _resolve_bottoms(definition)
    loss_weights = _loss_weights(definition.layers)
    uses.update(loss_weights.keys())
    taken: Counter[Producer] = Counter()
    layers: list[LayerDefinition] = []
    for index, layer in enumerate(definition.layers):
        proto = type(layer.proto)()
        proto.CopyFrom(layer.proto)
        for position, producer in enumerate(producers[index]):
            if uses[producer] > 1:
                name = split_name(definition.layers[producer[0]].proto, producer[1])
                proto.bottom[position] = f"{name}_{taken[producer]}"
                taken[producer] += 1
        layers.append(attrs.evolve(layer, proto=proto))
        for top in range(len(proto.top)):
            if uses[index, top] > 1:
                layers.append(_split(layer, top, uses[index, top], loss_weights.get((index, top)), plugins))
                if (index, top) in loss_weights:
                    taken[index, top] += 1
                    del proto.loss_weight[:]
    return attrs.evolve(definition, layers=layers)


def split_name(proto: Any, top: int) -> str:
    """The name of the split layer for top number ``top`` of a layer."""
    return f"{proto.top[top]}_{proto.name}_{top}_split"


def _resolve_bottoms(definition: NetDefinition) -> tuple[list[list[Producer]], Counter[Producer]]:
    """The producer of each bottom of each layer, and the number of consumers of each top."""
    layers = definition.layers
    latest: dict[str, Producer] = {}
    producers: list[list[Producer]] = []
    uses: Counter[Producer] = Counter()
    for index, layer in enumerate(layers):
        for position, bottom in enumerate(layer.proto.bottom):
            if bottom not in latest:
                raise _unknown_bottom(definition, index, position, latest)
        producers.append([latest[bottom] for bottom in layer.proto.bottom])
        uses.update(producers[-1])
        latest.update({top: (index, t) for t, top in enumerate(layer.proto.top)})
    return producers, uses


def _unknown_bottom(definition: NetDefinition, index: int, position: int, known: dict[str, Producer]) -> CafxError:
    layers = definition.layers
    name = layers[index].proto.bottom[position]
    later = next((each for each in layers[index:] if name in each.proto.top), None)
    if later is not None:
        remedy = f"layer '{later.proto.name}' produces it but does not come earlier; move that layer before this one"
    elif name in definition.shapeless:
        remedy = f"the net's input '{name}' has no shape: write input_shape {{ dim: ... }} after input: \"{name}\""
    else:
        remedy = did_you_mean(name, known) or "no layer of this phase produces it"
    return layers[index].error(f"unknown bottom blob '{name}' (bottom {position})", remedy=remedy)


def _loss_weights(layers: Sequence[LayerDefinition]) -> dict[Producer, float]:
    return {
        (index, top): weight
        for index, layer in enumerate(layers)
        for top, weight in enumerate(layer.proto.loss_weight[: len(layer.proto.top)])
        if weight
    }


def _split(layer: LayerDefinition, top: int, count: int, weight: float | None, plugins: Registry) -> LayerDefinition:
    proto = type(layer.proto)()
    proto.name = split_name(layer.proto, top)
    proto.type = plugins.load("role", SPLIT_ROLE)
    proto.bottom.append(layer.proto.top[top])
    proto.top.extend(f"{proto.name}_{i}" for i in range(count))
    if weight:
        proto.loss_weight.extend([weight] + [0.0] * (count - 1))
    return LayerDefinition(proto, layer.source, layer.line)
