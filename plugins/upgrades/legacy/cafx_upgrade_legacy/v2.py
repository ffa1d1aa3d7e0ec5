"""Changes within V2: net inputs and the parameters of BatchNorm."""

from __future__ import annotations

from typing import Any

from cafx.kernel import CafxError
from cafx_data_input import Input

INPUT_NAME = "input"
LEGACY_AXES = 4
BATCHNORM = "BatchNorm"
BATCHNORM_BLOBS = 3


def inputs_to_layer(proto: Any, source: str) -> None:
    """Replace the net's ``input`` fields by an Input layer, in place.

    Inputs without shapes are dropped; they occur in weights files.

    Raises:
        CafxError: only some of the inputs have shapes.
    """
    names = list(proto.input)
    if proto.input_shape or proto.input_dim:
        shapes = _shapes(proto)
        if len(shapes) < len(names):
            raise CafxError(
                "only some of the inputs have shapes",
                where=source,
                found=f"{len(shapes)} shapes for {len(names)} inputs",
                expected="an input_shape, or four input_dim, for each input",
            )
        layers = list(proto.layer)
        del proto.layer[:]
        first = proto.layer.add(name=INPUT_NAME, type=Input.__name__, top=names)
        for shape in shapes[: len(names)]:
            first.input_param.shape.add().dim.extend(shape)
        proto.layer.extend(layers)
    for field in ("input", "input_shape", "input_dim"):
        proto.ClearField(field)


def _shapes(proto: Any) -> list[list[int]]:
    if proto.input_shape:
        return [list(shape.dim) for shape in proto.input_shape]
    dims, ends = list(proto.input_dim), range(LEGACY_AXES, len(proto.input_dim) + 1, LEGACY_AXES)
    return [dims[end - LEGACY_AXES : end] for end in ends]


def freeze_statistics(proto: Any) -> None:
    """Set the learning rates of BatchNorm's parameters to zero, in place: they are statistics, not learned."""
    for layer in proto.layer:
        if layer.type == BATCHNORM and len(layer.param) == BATCHNORM_BLOBS:
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0
