"""The parameters of a net: which share their values, and their multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from cafx.kernel.blob import Blob, shape_text
from cafx.kernel.net.definition import LayerDefinition
from cafx.kernel.net.layer import Layer
from cafx.kernel.schema import ParamSpec

PERMISSIVE = ParamSpec.DimCheckMode.PERMISSIVE


@attrs.define(eq=False)
class Parameter:
    """One parameter blob of a net.

    Attributes:
        blob: the blob.
        layer: index of its layer.
        position: its index among the layer's blobs.
        name: the shared name stated in the prototxt, else its position.
        owner: the parameter whose values and gradient it shares; None if it has its own.
        lr_mult, decay_mult: multipliers of learning rate and weight decay; None if not stated (1).
    """

    blob: Blob
    layer: int
    position: int
    name: str
    owner: Parameter | None = None
    lr_mult: float | None = None
    decay_mult: float | None = None

    @property
    def multipliers(self) -> tuple[float, float]:
        """The multipliers of learning rate and weight decay."""
        lr, decay = self.lr_mult, self.decay_mult
        return 1.0 if lr is None else lr, 1.0 if decay is None else decay


def learnable(parameters: Sequence[Parameter]) -> list[Parameter]:
    """The parameters that have values of their own: what a solver updates and a state file lists."""
    return [parameter for parameter in parameters if parameter.owner is None]


def collect_parameters(
    definitions: Sequence[LayerDefinition], layers: Sequence[Layer], param_spec: type[Any]
) -> list[Parameter]:
    """The parameters of all layers; those of one name share their memory.

    Raises:
        CafxError: more ``param`` entries than parameters; sharers that differ in shape or multipliers.
    """
    parameters: list[Parameter] = []
    by_name: dict[str, Parameter] = {}
    for index, (definition, layer) in enumerate(zip(definitions, layers, strict=True)):
        for position, (blob, spec) in enumerate(zip(layer.blobs, _specs(definition, layer, param_spec), strict=True)):
            parameter = Parameter(blob, index, position, spec.name or str(position))
            owner = by_name.setdefault(spec.name, parameter) if spec.name else parameter
            if owner is not parameter:
                _share(parameter, owner, spec, definition)
            for field in ("lr_mult", "decay_mult"):
                _set_multiplier(owner, spec, field, definition)
            parameters.append(parameter)
    return parameters


def _specs(definition: LayerDefinition, layer: Layer, param_spec: type[Any]) -> list[Any]:
    """One ParamSpec per parameter of a layer: those stated, then defaults."""
    stated = list(definition.proto.param)
    if len(stated) > len(layer.blobs):
        raise definition.error("has more param entries than parameters", found=len(stated), expected=len(layer.blobs))
    implied = [param_spec() for _ in range(len(layer.blobs) - len(stated))]
    return (stated if layer.learnable else _frozen(stated, implied, definition)) + implied


def _frozen(stated: Sequence[Any], implied: Sequence[Any], definition: LayerDefinition) -> list[Any]:
    """The specs of parameters that are not trained: Caffe's files state lr_mult 0, all three, or none.

    A full list is read as all zero whatever it says, since older files state other values.
    """
    for spec in implied:
        spec.lr_mult = 0
    specs = []
    for spec in stated:
        if implied and spec.lr_mult != 0:
            raise definition.error(
                "has parameters that are not trained", found=f"lr_mult: {spec.lr_mult:g}", expected="lr_mult: 0"
            )
        frozen = type(spec)()
        frozen.CopyFrom(spec)
        frozen.lr_mult = 0
        if not implied:
            frozen.decay_mult = 0
        specs.append(frozen)
    return specs


def _share(parameter: Parameter, owner: Parameter, spec: Any, definition: LayerDefinition) -> None:
    """Let a parameter share the values and the gradient of its owner."""
    blob, other = parameter.blob, owner.blob
    permissive = spec.share_mode == PERMISSIVE
    fits = blob.count_ == other.count_ if permissive else blob.shape == other.shape
    if not fits:
        raise definition.error(
            f"parameter '{spec.name}' cannot be shared",
            found=shape_text(blob.shape),
            expected=f"{shape_text(other.shape)} as in layer '{other.name.rsplit('.', 1)[0]}'",
            remedy="share_mode: PERMISSIVE asks only for the same number of values",
        )
    blob.share_data(other)
    blob.share_diff(other)
    parameter.owner = owner


def _set_multiplier(owner: Parameter, spec: Any, field: str, definition: LayerDefinition) -> None:
    if not spec.HasField(field):
        return
    stated, held = getattr(spec, field), getattr(owner, field)
    if held not in (None, stated):
        raise definition.error(f"shared parameter '{spec.name}' has two different {field}", found=stated, expected=held)
    setattr(owner, field, stated)
