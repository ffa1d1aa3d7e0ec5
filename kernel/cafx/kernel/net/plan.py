"""NetPlan: what the kernel knows of a net once its layers are set up, for an engine to compile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from cafx.kernel.blob import Blob, SyncedArray
from cafx.kernel.net.arena import Arena
from cafx.kernel.net.context import Context
from cafx.kernel.net.definition import LayerDefinition
from cafx.kernel.net.graph import Graph, Node
from cafx.kernel.net.layer import Layer
from cafx.kernel.net.parameters import Parameter


@attrs.frozen(eq=False)
class LayerPlan:
    """One layer of a net, set up and connected.

    Attributes:
        index: its position in the net.
        definition: its LayerParameter, and where that is written.
        layer: the layer itself.
        bottoms, tops: the blobs it reads and writes.
        loss_weights: the weight of each top in the objective; 0 for a top that is no loss.
        propagate_down: for each bottom, whether its gradient is needed.
        needs_backward: whether the backward pass runs this layer.
    """

    index: int
    definition: LayerDefinition
    layer: Layer
    bottoms: tuple[Blob, ...]
    tops: tuple[Blob, ...]
    loss_weights: tuple[float, ...]
    propagate_down: tuple[bool, ...] = ()
    needs_backward: bool = False

    @property
    def losses(self) -> list[tuple[Blob, float]]:
        """The tops that count in the objective, with their weights."""
        return [(top, weight) for top, weight in zip(self.tops, self.loss_weights, strict=True) if weight]

    def reshape(self) -> None:
        """Reshape the tops to the bottoms' present shapes; errors name file and line."""
        with self.definition.locating(self.layer.context.plugins):
            self.layer.reshape(list(self.bottoms), list(self.tops))


@attrs.frozen(eq=False)
class NetPlan:
    """A net at its present shapes: what an engine compiles to a `Program`.

    Attributes:
        layers: one record per layer, in order.
        parameters: one record per parameter blob, in order.
        kept: the arrays whose values must survive a pass; None for all of them. The others may share memory.
        has_backward: whether there is a backward pass; without one the forward pass leaves nothing for it.
        arena: the parameters' arena, if an earlier program of this net has made it.
        loss: one float64 in the engine's place: the objective of the pass that is running.

    Example:
        >>> from cafx.kernel import Net, schema
        >>> text = '''
        ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
        ... layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }'''
        >>> plan = Net(schema().parse_text(text, "NetParameter"), engine="numpy").program.plan
        >>> [(planned.layer.name, planned.propagate_down) for planned in plan.layers]
        [('x', ()), ('ip', (False,))]
        >>> [parameter.blob.shape for parameter in plan.parameters]
        [(3, 2), (3,)]
    """

    layers: Sequence[LayerPlan]
    parameters: Sequence[Parameter]
    kept: frozenset[SyncedArray] | None
    has_backward: bool
    arena: Arena | None
    loss: Any


def set_up(graph: Graph, context: Context) -> list[LayerPlan]:
    """Create every layer and blob; set up and reshape in order. Errors name file and line."""
    blobs = [context.blob((), name) for name in graph.blob_names]
    return [_set_up(index, node, blobs, context) for index, node in enumerate(graph.nodes)]


def _set_up(index: int, node: Node, blobs: Sequence[Blob], context: Context) -> LayerPlan:
    bottoms, tops = (tuple(blobs[i] for i in indices) for indices in (node.bottoms, node.tops))
    with node.definition.locating(context.plugins):
        layer = node.layer_class(node.proto, context)
        layer.setup(list(bottoms), list(tops))
    planned = LayerPlan(index, node.definition, layer, bottoms, tops, loss_weights(node))
    planned.reshape()
    return planned


def loss_weights(node: Node) -> tuple[float, ...]:
    """The weight of each top of a layer in the objective.

    Raises:
        CafxError: ``loss_weight`` is given for some tops only.
    """
    stated = list(node.proto.loss_weight)
    if stated and len(stated) != len(node.tops):
        raise node.definition.error(
            "loss_weight needs one value per top, or none", found=len(stated), expected=f"0 or {len(node.tops)}"
        )
    if not stated and node.layer_class.is_loss:
        stated = [1.0]
    return tuple(stated + [0.0] * (len(node.tops) - len(stated)))


def storages(blobs: Iterable[Blob]) -> frozenset[SyncedArray]:
    """Data and diffs of some blobs."""
    return frozenset(array for blob in blobs for array in (blob.synced_data, blob.synced_diff))


def kept_storages(
    layers: Sequence[LayerPlan], parameters: Iterable[Parameter], blobs: Iterable[Blob]
) -> frozenset[SyncedArray]:
    """What must survive a pass: parameters, losses, what comes in from outside, and ``blobs``."""
    losses = [top for planned in layers for top, _ in planned.losses]
    sources = [top for planned in layers if not planned.bottoms for top in planned.tops]
    return storages([*blobs, *losses, *sources, *(parameter.blob for parameter in parameters)])
