"""Importer: what converters import one node with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from cafx.kernel.files import shown
from cafx_lib_onnx.errors import NoLayerForm
from cafx_lib_onnx.graph_view import GraphView

Array = npt.NDArray[Any]
WEIGHT_ENDINGS = (".weight", ".bias", ".0", ".1", ".scale", ".running_mean", "_weight", "_bias")
NAMELESS = "onnx::"


@attrs.define
class NetBuilder:
    """The net under construction.

    Attributes:
        proto: its NetParameter.
        weights: the values of each layer's parameters, by the layer's name.
        blobs: the blob that holds each value of the graph.
        done: the nodes that another node's converter has taken care of, by id.
    """

    proto: Any
    weights: dict[str, list[Array]] = attrs.field(factory=dict)
    blobs: dict[str, str] = attrs.field(factory=dict)
    done: set[int] = attrs.field(factory=set)
    _layer_names: set[str] = attrs.field(factory=set)
    _blob_names: set[str] = attrs.field(factory=set)

    def layer_name(self, stem: str) -> str:
        """A name that no layer has yet."""
        return _unused(stem or "layer", self._layer_names)

    def blob_name(self, value: str) -> str:
        """The name of a new blob for a value."""
        self.blobs[value] = _unused(value, self._blob_names)
        return self.blobs[value]


def _unused(stem: str, names: set[str]) -> str:
    name, number = stem, 1
    while name in names:
        name, number = f"{stem}_{number}", number + 1
    names.add(name)
    return name


class Importer:
    """A node of an ONNX graph and the net under construction.

    Args:
        node: the node.
        view: the graph.
        net: the net.

    Attributes:
        node, view, net: as above.
        op: the operator.
        inputs: names of the values it reads; an empty name stands for one that is left out.
        outputs: names of the values it computes.
    """

    def __init__(self, node: onnx.NodeProto, view: GraphView, net: NetBuilder) -> None:
        self.node, self.view, self.net, self.op = node, view, net, node.op_type
        self.inputs, self.outputs = list(node.input), list(node.output)
        self._attributes = {each.name: each for each in node.attribute}

    @property
    def where(self) -> str:
        """The location for errors: ``node 'conv1' (Conv)``."""
        return f"node '{shown(self.node.name or (self.outputs or [''])[0])}' ({shown(self.op)})"

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; text as str."""
        if name not in self._attributes:
            return default
        value = helper.get_attribute_value(self._attributes[name])
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether there is an input at this position."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def constant(self, index: int) -> Array | None:
        """The value of an input that is constant, else None."""
        return self.view.constants.get(self.inputs[index]) if self.has(index) else None

    def required(self, index: int, what: str) -> Array:
        """The value of an input that must be constant.

        Raises:
            NoLayerForm: it is not.
        """
        value = self.constant(index)
        if value is None:
            raise self.unsupported(f"{what} that is not constant")
        return value

    def shape(self, index: int = 0) -> tuple[int, ...]:
        """The shape of an input."""
        return self.view.shape(self.inputs[index])

    def output_shape(self, index: int = 0) -> tuple[int, ...]:
        """The shape of an output."""
        return self.view.shape(self.outputs[index])

    def only_reader(self, value: str) -> Importer | None:
        """The node that reads a value, if there is exactly one and the value is no output of the model."""
        readers = self.view.readers(value)
        if len(readers) != 1 or value in self.view.outputs or list(readers[0].input).count(value) != 1:
            return None
        return Importer(readers[0], self.view, self.net)

    def absorb(self, other: Importer) -> None:
        """Take care of a later node: its outputs are those of the layer that is added next."""
        self.net.done.add(id(other.node))
        self.outputs = other.outputs

    @property
    def name(self) -> str:
        """A name for the layer: that of its weights, as ``features.0`` of ``features.0.weight``, or else the node's."""
        for index in range(1, len(self.inputs)):
            value = self.inputs[index]
            ending = next((each for each in WEIGHT_ENDINGS if value.endswith(each)), None)
            if value in self.view.constants and ending and not value.startswith(NAMELESS):
                return value.removesuffix(ending).strip("/")
        return self.node.name.strip("/") or (self.outputs[0] if self.outputs else self.op)

    def add(
        self,
        type_name: str,
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] | None = None,
        *,
        weights: Sequence[npt.ArrayLike] = (),
        name: str | None = None,
    ) -> Any:
        """Append a layer and return its LayerParameter, whose options are to be set.

        Args:
            type_name: the layer's type.
            inputs: values of the graph that are its bottoms; by default the node's first input.
            outputs: values that are its tops; by default the node's first output.
            weights: the values of its parameters.
            name: the layer's name; by default `name`.
        """
        layer = self.net.proto.layer.add(type=type_name, name=self.net.layer_name(name or self.name))
        for value in self.inputs[:1] if inputs is None else inputs:
            layer.bottom.append(self.blob(value))
        for value in self.outputs[:1] if outputs is None else outputs:
            layer.top.append(self.net.blob_name(value))
        if weights:
            self.net.weights[layer.name] = [np.asarray(each, np.float32) for each in weights]
        return layer

    def blob(self, value: str) -> str:
        """The blob that holds a value; a constant becomes a Parameter layer."""
        if value not in self.net.blobs and value in self.view.constants:
            array = self.view.constants[value]
            layer = self.net.proto.layer.add(type="Parameter", name=self.net.layer_name(f"{value}/constant"))
            layer.top.append(self.net.blob_name(value))
            layer.param.add(lr_mult=0, decay_mult=0)
            layer.parameter_param.shape.dim.extend(array.shape)
            self.net.weights[layer.name] = [array.astype(np.float32)]
        return self.net.blobs[value]

    def inner(self, stem: str) -> str:
        """A value that is not in the graph, between two layers of one node."""
        return f"{self.outputs[0]}/{stem}"

    def alias(self, output: int = 0, source: str | None = None) -> None:
        """Say that an output is one of the values that exist already, without a layer."""
        self.net.blobs[self.outputs[output]] = self.blob(self.inputs[0] if source is None else source)

    def unsupported(self, what: str) -> NoLayerForm:
        """The error for something that no layer has: ``raise context.unsupported("auto_pad")``."""
        return NoLayerForm(f"has no layer form: {what}", where=self.where)
