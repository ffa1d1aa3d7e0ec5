"""Warnings about nets and solvers that run, but hardly as intended.

The kernel finds this as the role ``advice``, and logs what its functions return.

Example:
    >>> from cafx.kernel import registry, schema
    >>> from cafx.kernel.net import read_net
    >>> text = '''
    ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
    ... layer { name: "x" type: "ReLU" bottom: "x" top: "y" }'''
    >>> definition = read_net(schema().parse_text(text, "NetParameter"), registry())
    >>> print(*of_definition(definition, registry()))
    net: layer 'x' (ReLU) has the name of another layer; weights files cannot tell them apart
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from cafx.kernel.net import LayerDefinition, NetDefinition
from cafx.kernel.registry import Registry
from cafx.kernel.schema import declared_by

__version__ = "0.1.0"
GENERAL_OPTIONS = ("transform_param", "loss_param")
NETS = ("net_param", "train_net_param", "test_net_param")
SAMPLES = 256
"""Iterations at which a schedule is looked at."""


def of_definition(definition: NetDefinition, plugins: Registry) -> Iterator[str]:
    """Warnings about a net before it is built.

    Args:
        definition: the net, filtered by state.
        plugins: where its layers are found.
    """
    named: set[str] = set()
    for layer in definition.layers:
        if layer.proto.name in named and layer.proto.name:
            yield f"{layer.where} has the name of another layer; weights files cannot tell them apart"
        named.add(layer.proto.name)
        yield from _unread_options(layer, plugins)


def _unread_options(layer: LayerDefinition, plugins: Registry) -> Iterator[str]:
    """Options in a message of another layer type, which Caffe ignores without a word."""
    declared = declared_by(plugins.load("layer", layer.proto.type))
    read = [each.__extends__.field for each in declared if each.__extends__]
    given = [field.name for field, _ in layer.proto.ListFields() if field.name.endswith("_param")]
    for name in given:
        if name not in (*read, *GENERAL_OPTIONS):
            instead = f", only {' and '.join(read)}" if read else " and has no options"
            yield f"{layer.where} does not read {name}{instead}"


def of_net(net: Any) -> Iterator[str]:
    """Warnings about a net that is built: gradients computed from tops that a layer behind overwrites in place.

    Args:
        net: the `cafx.kernel.Net`.
    """
    layers = net.program.plan.layers
    for index, planned in enumerate(layers):
        layer = planned.layer
        if planned.needs_backward and layer.reads_tops:
            behind = (each for each in layers[index + 1 :] if set(planned.tops) & set(each.bottoms) & set(each.tops))
            for other in itertools.islice(behind, 1):
                name, kind = other.layer.name, other.layer.type
                what = f"computes its gradient from its top, which layer '{name}' ({kind}) overwrites"
                remedy = f"give the top of '{name}' another name"
                yield f"{layer.where} {what}: the gradient may be wrong, as in Caffe; {remedy}"


def of_solver(solver: Any, iterations: int) -> Iterator[str]:
    """Warnings about a solver that begins to train.

    Args:
        solver: the `cafx.kernel.Solver`.
        iterations: number of iterations that it is about to run.
    """
    options = solver.options
    if not iterations and not options.HasField("max_iter"):
        yield "no iteration will be run: max_iter is not set"
    reason = why_nothing_learns(solver)
    if reason:
        yield f"nothing will be learned: {reason}"
    elif options.base_lr < 0:
        yield f"base_lr is negative ({options.base_lr:g}): the loss will rise"
    else:
        yield from _schedule(solver)
    yield from _unread_solver_options(solver)


def why_nothing_learns(solver: Any) -> str | None:
    """Why no parameter of a solver's net would change, and what to do; None if some would.

    Args:
        solver: the `cafx.kernel.Solver`.
    """
    net = solver.net
    if not net.parameters:
        return "the training net has no parameters"
    if not any(net.loss_weights.values()):
        scalars = [name for name in net.outputs if net.blobs[name].count_ == 1]
        example = f" (perhaps '{scalars[0]}')" if scalars else ""
        return f"the net has no loss; add a loss layer, or loss_weight: 1 to the layer whose top is the loss{example}"
    learning = {each.layer for each in net.parameters if (each.owner or each).multipliers[0]}
    if not learning:
        return "lr_mult is 0 for all parameters; remove it from the layers that are to learn"
    reached = {each.index for step in net.program.steps for each in step.layers if each.needs_backward}
    if not learning & reached:
        return "no layer with an lr_mult other than 0 leads to the loss, or propagate_down: false lies between"
    if not solver.options.HasField("base_lr"):
        return "base_lr is not set; set it, for example base_lr: 0.01"
    return "base_lr is 0" if not solver.options.base_lr else None


def _schedule(solver: Any) -> Iterator[str]:
    """What is odd about the rates up to max_iter; nothing for a policy that watches the loss."""
    options, policy = solver.options, f"policy '{solver.options.lr_policy}'"
    if solver.policy.watches_loss or options.max_iter < 1:
        return
    largest = 0.0
    for iteration in sorted({round(each * (options.max_iter - 1) / SAMPLES) for each in range(SAMPLES + 1)}):
        try:
            rate = float(solver.policy.rate(iteration))
        except Exception as error:  # noqa: BLE001 - third-party code may raise anything; training will raise it again
            yield f"{policy} fails at iteration {iteration}: {type(error).__name__}: {error}"
            return
        if not math.isfinite(rate) or rate < 0:
            yield f"{policy}: the learning rate is {rate:g} at iteration {iteration}; check its options"
            return
        largest = max(largest, rate)
    if not largest:
        yield f"nothing will be learned: {policy} keeps the learning rate at 0"


def _unread_solver_options(solver: Any) -> Iterator[str]:
    """Options of solver types and policies that are not those of this solver."""
    declared = [*declared_by(solver.rule), *declared_by(solver.policy)]
    read = {each.__extends__.field for each in declared if each.__extends__}
    options = solver.options
    for name in sorted(field.name for field, _ in options.ListFields()):
        if name.endswith("_param") and name not in (*read, *NETS):
            yield f"neither solver type '{options.type}' nor policy '{options.lr_policy}' reads {name}"
