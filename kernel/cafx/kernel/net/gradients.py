"""Which gradients a net computes."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from cafx.kernel.blob import Blob
from cafx.kernel.net.plan import LayerPlan


def decide_gradients(layers: Sequence[LayerPlan], force: bool) -> list[LayerPlan]:
    """The layers with what must be differentiated: everything between a learned parameter and a loss.

    A layer needs backward if one of its parameters is learned or a bottom needs a gradient; then
    layers that no loss depends on, or whose gradient nothing below them needs, are taken out again.

    Args:
        layers: the layers, in order.
        force: compute every gradient that exists, for all inputs and parameters (``force_backward``).
    """
    decided = _without_unused(_from_parameters(layers))
    return [_forced(planned) for planned in decided] if force else decided


def _from_parameters(layers: Sequence[LayerPlan]) -> list[LayerPlan]:
    """In forward order: what learned parameters make necessary."""
    differentiated: set[Blob] = set()
    decided = []
    for planned in layers:
        layer, param = planned.layer, planned.definition.proto.param
        layer.param_propagate_down = [
            layer.learnable and (i >= len(param) or param[i].lr_mult != 0) for i in range(len(layer.blobs))
        ]
        below = [bottom in differentiated for bottom in planned.bottoms]
        needed = any(below) or any(layer.param_propagate_down)
        down = tuple(planned.definition.proto.propagate_down) or tuple(below)
        decided.append(attrs.evolve(planned, propagate_down=down, needs_backward=needed))
        if needed:
            differentiated.update(planned.tops)
    return decided


def _without_unused(layers: Sequence[LayerPlan]) -> list[LayerPlan]:
    """In backward order: without what no loss depends on. Blobs count by name, as in Caffe."""
    under_loss: set[str] = set()
    skipped: set[str] = set()
    decided = []
    for planned in reversed(layers):
        contributes, skip = _top_flags(planned, under_loss, skipped)
        needed, down = planned.needs_backward, list(planned.propagate_down)
        if needed and skip:
            needed, down = False, [False] * len(down)
        needed = needed and contributes
        for position, bottom in enumerate(planned.bottoms):
            if contributes:
                under_loss.add(bottom.name)
            else:
                down[position] = False
            if not down[position]:
                skipped.add(bottom.name)
        decided.append(attrs.evolve(planned, propagate_down=tuple(down), needs_backward=needed))
    return decided[::-1]


def _top_flags(planned: LayerPlan, under_loss: set[str], skipped: set[str]) -> tuple[bool, bool]:
    """Whether a loss depends on a layer, and whether all its tops' gradients are unneeded."""
    contributes, skip = False, True
    for top, weight in zip(planned.tops, planned.loss_weights, strict=True):
        contributes = contributes or bool(weight) or top.name in under_loss
        skip = skip and top.name in skipped
        if contributes and not skip:
            break
    return contributes, skip


def _forced(planned: LayerPlan) -> LayerPlan:
    layer = planned.layer
    layer.param_propagate_down = [True] * len(layer.blobs)
    if layer.forward_only:
        return attrs.evolve(planned, needs_backward=False, propagate_down=(False,) * len(planned.bottoms))
    down = tuple(each or layer.needs_gradient(i) for i, each in enumerate(planned.propagate_down))
    return attrs.evolve(planned, needs_backward=True, propagate_down=down)


def seed_loss_diffs(layers: Sequence[LayerPlan], *, scalars: bool = True) -> None:
    """Set the diff of every loss to its weight, where the backward pass begins.

    Args:
        layers: the layers.
        scalars: also those of a single value, whose memory a reshape never changes.
    """
    for planned in layers:
        for top, weight in planned.losses:
            if scalars or top.count_ != 1:
                top.mutable_diff[...] = weight
