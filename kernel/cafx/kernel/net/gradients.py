"""Loss weights, parameter sharing, and the decision which gradients a net computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from cafx.kernel.blob import Blob, shape_text
from cafx.kernel.net.graph import Graph, Node
from cafx.kernel.net.layer import Layer
from cafx.kernel.schema import ParamSpec

PERMISSIVE = ParamSpec.DimCheckMode.PERMISSIVE


@attrs.define
class Parameters:
    """Every parameter blob of a net, and which of them own what is learned.

    Attributes:
        blobs: all parameter blobs, layer by layer.
        names: the name each is displayed under: its shared name, or its index in the layer.
        owners: for each, the index of the blob whose values it shares, or -1.
        layers: for each, the index of its layer and its index within it.
        learnable: the indices of the blobs that own themselves, in order.
        lr_mult, decay_mult: a multiplier for each learnable one.
    """

    blobs: list[Blob] = attrs.field(factory=list)
    names: list[str] = attrs.field(factory=list)
    owners: list[int] = attrs.field(factory=list)
    layers: list[tuple[int, int]] = attrs.field(factory=list)
    learnable: list[int] = attrs.field(factory=list)
    _lr: list[float | None] = attrs.field(factory=list)
    _decay: list[float | None] = attrs.field(factory=list)
    _by_name: dict[str, int] = attrs.field(factory=dict)

    @property
    def lr_mult(self) -> list[float]:
        """Learning-rate multiplier of each learnable parameter."""
        return [1.0 if mult is None else mult for mult in self._lr]

    @property
    def decay_mult(self) -> list[float]:
        """Weight-decay multiplier of each learnable parameter."""
        return [1.0 if mult is None else mult for mult in self._decay]

    @property
    def learnable_blobs(self) -> list[Blob]:
        """The blobs that own themselves."""
        return [self.blobs[index] for index in self.learnable]

    def add(self, blob: Blob, spec: Any, node: Node, place: tuple[int, int]) -> None:
        """Take in a layer's next parameter; a name already known makes it share that one."""
        index = len(self.blobs)
        owner = self._by_name.get(spec.name, -1) if spec.name else -1
        self.blobs.append(blob)
        self.names.append(spec.name or str(place[1]))
        self.owners.append(owner)
        self.layers.append(place)
        if owner < 0:
            owner = index
            self.learnable.append(index)
            self._lr.append(None)
            self._decay.append(None)
            if spec.name:
                self._by_name[spec.name] = index
        else:
            self._share(blob, self.blobs[owner], spec, node)
        slot = self.learnable.index(owner)
        self._multiply(self._lr, slot, spec, "lr_mult", node)
        self._multiply(self._decay, slot, spec, "decay_mult", node)

    def _share(self, blob: Blob, owner: Blob, spec: Any, node: Node) -> None:
        permissive = spec.share_mode == PERMISSIVE
        fits = blob.count_ == owner.count_ if permissive else blob.shape == owner.shape
        if not fits:
            raise node.definition.error(
                f"parameter '{spec.name}' cannot be shared",
                found=shape_text(blob.shape),
                expected=f"{shape_text(owner.shape)} as in layer '{owner.name.rsplit('.', 1)[0]}'",
                remedy="share_mode: PERMISSIVE asks only for the same number of values",
            )
        blob.share_data(owner)
        blob.share_diff(owner)

    def _multiply(self, held: list[float | None], slot: int, spec: Any, field: str, node: Node) -> None:
        if not spec.HasField(field):
            return
        stated = getattr(spec, field)
        if held[slot] not in (None, stated):
            raise node.definition.error(
                f"shared parameter '{spec.name}' has two different {field}", found=stated, expected=held[slot]
            )
        held[slot] = stated


def collect_parameters(graph: Graph, layers: Sequence[Layer], param_spec: type[Any]) -> Parameters:
    """The parameters of all layers, those of one name sharing their memory.

    Raises:
        CafxError: more ``param`` entries than parameters; sharers of different shape or multipliers.
    """
    parameters = Parameters()
    for index, (node, layer) in enumerate(zip(graph.nodes, layers, strict=True)):
        specs = list(node.proto.param)
        if len(specs) > len(layer.blobs):
            raise node.definition.error(
                "has more param entries than parameters", found=len(specs), expected=len(layer.blobs)
            )
        implied = [param_spec() for _ in range(len(layer.blobs) - len(specs))]
        if not layer.learnable:
            specs = _frozen(specs, implied, node)
        for position, (blob, spec) in enumerate(zip(layer.blobs, [*specs, *implied], strict=True)):
            parameters.add(blob, spec, node, (index, position))
    return parameters


def _frozen(stated: Sequence[Any], implied: Sequence[Any], node: Node) -> list[Any]:
    """The specs of parameters that are not trained: Caffe's files state lr_mult 0, all three, or none.

    A full list is taken to mean 0 whatever it says, as older files do not know better.
    """
    for spec in implied:
        spec.lr_mult = 0
    specs = []
    for spec in stated:
        if implied and spec.lr_mult != 0:
            raise node.definition.error(
                "has parameters that are not trained", found=f"lr_mult: {spec.lr_mult:g}", expected="lr_mult: 0"
            )
        frozen = type(spec)()
        frozen.CopyFrom(spec)
        frozen.lr_mult = 0
        if not implied:
            frozen.decay_mult = 0
        specs.append(frozen)
    return specs


def loss_weights(node: Node) -> list[float]:
    """What each top of a layer counts in the objective."""
    stated = list(node.proto.loss_weight)
    if stated and len(stated) != len(node.tops):
        raise node.definition.error(
            "loss_weight is stated once a top, or not at all", found=len(stated), expected=f"0 or {len(node.tops)}"
        )
    if not stated and node.layer_class.is_loss:
        stated = [1.0]
    return stated + [0.0] * (len(node.tops) - len(stated))


@attrs.define
class Needs:
    """Which layers run backward, and for which of their bottoms: one entry a layer."""

    layer: list[bool]
    bottoms: list[list[bool]]


def decide_gradients(graph: Graph, layers: Sequence[Layer], weights: Sequence[Sequence[float]], force: bool) -> Needs:
    """What must be differentiated: whatever lies between a learned parameter and a loss.

    A layer needs backward if a parameter of it learns or a bottom needs a gradient; then whatever
    no loss is computed from, or whose gradient nobody below wants, is taken out again. ``force``
    asks for every gradient that exists (and makes every parameter learn).
    """
    needs = _spread_forward(graph, layers)
    _cut_backward(graph, weights, needs)
    if force:
        _force(graph, layers, needs)
    return needs


def _spread_forward(graph: Graph, layers: Sequence[Layer]) -> Needs:
    wanted = [False] * len(graph.blob_names)
    needs = Needs([], [])
    for node, layer in zip(graph.nodes, layers, strict=True):
        stated = list(node.proto.propagate_down) or [wanted[b] for b in node.bottoms]
        layer.param_propagate_down = [
            layer.learnable and (i >= len(node.proto.param) or node.proto.param[i].lr_mult != 0)
            for i in range(len(layer.blobs))
        ]
        backward = any(wanted[b] for b in node.bottoms) or any(layer.param_propagate_down)
        needs.layer.append(backward)
        needs.bottoms.append(stated)
        for top in node.tops if backward else ():
            wanted[top] = True
    return needs


def _cut_backward(graph: Graph, weights: Sequence[Sequence[float]], needs: Needs) -> None:
    names = graph.blob_names
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for index in reversed(range(len(graph.nodes))):
        node = graph.nodes[index]
        contributes, skip = False, True
        for position, top in enumerate(node.tops):
            if weights[index][position] or names[top] in under_loss:
                contributes = True
            if names[top] not in skipped:
                skip = False
            if contributes and not skip:
                break
        if needs.layer[index] and skip:
            needs.layer[index] = False
            needs.bottoms[index] = [False] * len(node.bottoms)
        if not contributes:
            needs.layer[index] = False
        for position, bottom in enumerate(node.bottoms):
            if contributes:
                under_loss.add(names[bottom])
            else:
                needs.bottoms[index][position] = False
            if not needs.bottoms[index][position]:
                skipped.add(names[bottom])


def _force(graph: Graph, layers: Sequence[Layer], needs: Needs) -> None:
    for index, (node, layer) in enumerate(zip(graph.nodes, layers, strict=True)):
        needs.layer[index] = True
        needs.bottoms[index] = [
            needed or layer.needs_gradient(position) for position, needed in enumerate(needs.bottoms[index])
        ]
        layer.param_propagate_down = [True] * len(layer.blobs)
        if layer.forward_only:
            needs.layer[index] = False
            needs.bottoms[index] = [False] * len(node.bottoms)


def seed_loss_diffs(
    graph: Graph, blobs: Sequence[Blob], weights: Sequence[Sequence[float]]
) -> list[tuple[int, Blob, float]]:
    """Set the diff of every weighed top to its weight; return (layer, top, weight) for each."""
    weighed = [
        (index, blobs[node.tops[position]], weight)
        for index, node in enumerate(graph.nodes)
        for position, weight in enumerate(weights[index])
        if weight
    ]
    for _, top, weight in weighed:
        top.mutable_diff[...] = weight
    return weighed
