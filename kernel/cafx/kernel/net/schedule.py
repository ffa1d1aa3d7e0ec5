"""The schedule: layers made and connected, then a flat list of steps; a pass walks that list."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from cafx.kernel.blob import Blob, SyncedArray
from cafx.kernel.errors import CafxError
from cafx.kernel.net.engine import Engine, Unsupported
from cafx.kernel.net.gradients import Needs
from cafx.kernel.net.graph import Graph
from cafx.kernel.net.layer import Context, Layer
from cafx.kernel.net.memory import Life, Plan, bind_to_pool, lives_of
from cafx.kernel.net.step import Step, plain_step


@attrs.frozen
class Built:
    """The layers of a net, set up, and its blobs, shaped."""

    graph: Graph
    layers: list[Layer]
    blobs: list[Blob]
    bottoms: list[list[Blob]]
    tops: list[list[Blob]]


def build(graph: Graph, context: Context) -> Built:
    """Make every layer and blob; set up and reshape in order. CafxErrors name file and line."""
    blobs = [context.blob((), name) for name in graph.blob_names]
    built = Built(graph, [], blobs, [], [])
    for node in graph.nodes:
        bottom, top = [blobs[i] for i in node.bottoms], [blobs[i] for i in node.tops]
        try:
            layer = node.layer_class(node.proto, context)
            layer.setup(bottom, top)
            layer.reshape(bottom, top)
        except CafxError as error:
            error.at(node.definition.where)
            raise
        built.layers.append(layer)
        built.bottoms.append(bottom)
        built.tops.append(top)
    return built


def reshape(built: Built, start: int = 0) -> None:
    """Reshape the layers from ``start`` on, in order."""
    for index in range(start, len(built.layers)):
        try:
            built.layers[index].reshape(built.bottoms[index], built.tops[index])
        except CafxError as error:
            error.at(built.graph.nodes[index].definition.where)
            raise


def make_steps(built: Built, needs: Needs, engine: Engine) -> tuple[list[Step], list[Step]]:
    """The steps of a net, one a layer, with the engine's routines; and what it fuses them to."""
    steps = []
    for index, layer in enumerate(built.layers):
        step = plain_step(
            layer, index, built.bottoms[index], built.tops[index], needs.bottoms[index], needs.layer[index]
        )
        try:
            routine = engine.routine(layer, step)
        except Unsupported as reason:
            step.note = str(reason)
        else:
            step.object, step.routine = routine, engine.name
            step.forward, step.backward = routine.forward, routine.backward
        steps.append(step)
    return steps, engine.rewrite(list(steps))


def share_activations(built: Built, keep: Sequence[Blob]) -> Plan:
    """Let data whose lives do not overlap lie in the same memory: for nets that never go back."""
    touched = [
        {blob.synced_data for blob in (*bottom, *top)} for bottom, top in zip(built.bottoms, built.tops, strict=True)
    ]
    return _share(lives_of(touched, (blob.synced_data for blob in keep)))


def share_gradients(built: Built, needs: Needs, keep: Sequence[Blob]) -> Plan:
    """The same for diffs, which live from the reader's backward to the writer's."""
    touched, written = [], set()
    for i in reversed([i for i, needed in enumerate(needs.layer) if needed]):
        made = {b.synced_diff for b, want in zip(built.bottoms[i], needs.bottoms[i], strict=True) if want}
        touched.append(made | {blob.synced_diff for blob in built.tops[i]})
        written |= made
    lives = lives_of(touched, (blob.synced_diff for blob in keep))
    return _share({array: life for array, life in lives.items() if array in written})


def _share(lives: dict[SyncedArray, Life]) -> Plan:
    return bind_to_pool({array: life for array, life in lives.items() if life.nbytes})
