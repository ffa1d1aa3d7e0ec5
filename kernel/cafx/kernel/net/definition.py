"""From text to the layers a net is made of: read, upgrade, filter by state, insert splits.

Each stage is a function from one NetDefinition to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from cafx.kernel.errors import CafxError, did_you_mean
from cafx.kernel.registry import Registry
from cafx.kernel.schema import Phase, layer_lines, schema

SPLIT_ROLE = "split"
Source = str | Path | Any


@attrs.frozen
class LayerDefinition:
    """One layer as its file states it, and where."""

    proto: Any
    source: str
    line: int | None = None

    @property
    def where(self) -> str:
        """How errors name this layer: ``lenet.prototxt:23: layer 'conv1' (Convolution)``."""
        place = f"{self.source}:{self.line}: " if self.line else f"{self.source}: "
        return f"{place}layer '{self.proto.name}' ({self.proto.type})"

    def error(self, message: str, **details: Any) -> CafxError:
        """A CafxError that names this layer."""
        return CafxError(message, where=self.where, **details)


@attrs.frozen
class NetDefinition:
    """A net as its file states it: ``proto`` without its layers, and the layers in order."""

    proto: Any
    layers: list[LayerDefinition]
    source: str

    @property
    def name(self) -> str:
        """The net's name."""
        return str(self.proto.name)


@attrs.frozen
class NetState:
    """What a net is built for; include and exclude rules are held against it."""

    phase: Phase
    level: int = 0
    stages: tuple[str, ...] = ()


def read_net(source: Source, plugins: Registry) -> NetDefinition:
    """The net in a prototxt file or a NetParameter message, upgraded to today's form."""
    composed = schema(plugins)
    lines: list[int] = []
    if isinstance(source, (str, Path)):
        proto = composed.read_text(source, "NetParameter")
        lines = layer_lines(Path(source).read_text("utf-8", "replace"))
        name = str(source)
    else:
        proto = composed.parse_bytes(source.SerializePartialToString(), "NetParameter")
        name = f"net '{source.name}'" if source.name else "net"
    proto = upgrade(proto, plugins, name)
    layers = [LayerDefinition(layer, name) for layer in proto.layer]
    if len(lines) == len(layers):
        layers = [attrs.evolve(layer, line=line) for layer, line in zip(layers, lines, strict=True)]
    return NetDefinition(proto, layers, name)


def upgrade(proto: Any, plugins: Registry, source: str = "net") -> Any:
    """``proto`` in today's form; plugins of group ``cafx.upgrades`` know the older ones."""
    for _, upgrader in plugins.usable("upgrade"):
        proto = upgrader.upgrade_net(proto, source)
    if proto.input:
        remedy = "try 'pip install cafx-upgrade-legacy'"
        raise CafxError("declares its inputs in the old way", where=source, found="input: ...", remedy=remedy)
    return proto


def filter_layers(definition: NetDefinition, state: NetState) -> NetDefinition:
    """The layers whose include and exclude rules let them into a net of this state."""
    kept = [layer for layer in definition.layers if is_included(layer, state)]
    return attrs.evolve(definition, layers=kept)


def is_included(layer: LayerDefinition, state: NetState) -> bool:
    """Whether a layer belongs to a net of this state."""
    include, exclude = layer.proto.include, layer.proto.exclude
    if include and exclude:
        raise layer.error("has both include and exclude rules", remedy="state one kind only")
    if include:
        return any(meets(rule, state) for rule in include)
    return not any(meets(rule, state) for rule in exclude)


def meets(rule: Any, state: NetState) -> bool:
    """Whether ``state`` satisfies every stated part of a NetStateRule."""
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and all(stage in state.stages for stage in rule.stage)
        and not any(stage in state.stages for stage in rule.not_stage)
    )


Producer = tuple[int, int]


def insert_splits(definition: NetDefinition, plugins: Registry) -> NetDefinition:
    """Give each consumer of a shared blob a blob of its own, by split layers after its producer.

    The split of blob b made by top t of layer l is called ``b_l_t_split``, its tops the same with
    ``_0``, ``_1``, … A stated loss weight counts as one more consumer: the split's first top.
    """
    readers, uses = _find_readers(definition.layers)
    weighed = _stated_loss_weights(definition.layers)
    uses.update(weighed.keys())
    taken: Counter[Producer] = Counter()
    layers: list[LayerDefinition] = []
    for index, layer in enumerate(definition.layers):
        proto = type(layer.proto)()
        proto.CopyFrom(layer.proto)
        for position, producer in enumerate(readers[index]):
            if uses[producer] > 1:
                made_by = definition.layers[producer[0]].proto
                name = split_name(made_by, producer[1])
                proto.bottom[position] = f"{name}_{taken[producer]}"
                taken[producer] += 1
        layers.append(attrs.evolve(layer, proto=proto))
        for top in range(len(proto.top)):
            if uses[index, top] > 1:
                layers.append(_split(layer, top, uses[index, top], weighed.get((index, top)), plugins))
                if (index, top) in weighed:
                    taken[index, top] += 1
                    del proto.loss_weight[:]
    return attrs.evolve(definition, layers=layers)


def split_name(proto: Any, top: int) -> str:
    """The name of the split layer for a layer's top."""
    return f"{proto.top[top]}_{proto.name}_{top}_split"


def _find_readers(layers: Sequence[LayerDefinition]) -> tuple[list[list[Producer]], Counter[Producer]]:
    """For each layer, who made each of its bottoms; and how often each top is read."""
    made: dict[str, Producer] = {}
    readers: list[list[Producer]] = []
    uses: Counter[Producer] = Counter()
    for index, layer in enumerate(layers):
        for position, bottom in enumerate(layer.proto.bottom):
            if bottom not in made:
                raise _unknown_bottom(layers, index, position, made)
        readers.append([made[bottom] for bottom in layer.proto.bottom])
        uses.update(readers[-1])
        made.update({top: (index, t) for t, top in enumerate(layer.proto.top)})
    return readers, uses


def _unknown_bottom(
    layers: Sequence[LayerDefinition], index: int, position: int, made: dict[str, Producer]
) -> CafxError:
    name = layers[index].proto.bottom[position]
    later = next((each for each in layers[index:] if name in each.proto.top), None)
    if later is not None:
        remedy = f"layer '{later.proto.name}' makes it, but comes no earlier: move it before this one"
    else:
        remedy = did_you_mean(name, made) or "no layer of this phase makes it"
    return layers[index].error(f"unknown bottom blob '{name}' (bottom {position})", remedy=remedy)


def _stated_loss_weights(layers: Sequence[LayerDefinition]) -> dict[Producer, float]:
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
