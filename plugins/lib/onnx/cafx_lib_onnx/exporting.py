"""export_net: from a built net to an ONNX model, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import onnx
from google.protobuf import text_format
from onnx import helper

from cafx.kernel import TEST, CafxError, Layer, Net
from cafx_lib_onnx.converter import converter_of
from cafx_lib_onnx.errors import NoOnnxForm
from cafx_lib_onnx.exporter import Exporter, NeedsFixedAxis
from cafx_lib_onnx.graph import CUSTOM_DOMAIN, FLOAT, GraphBuilder, Shape
from cafx_lib_onnx.shapes import fixed_shapes, symbolic_shapes

OPSET, IR_VERSION = 18, 9
OPSETS = range(18, 22)
"""Operator sets whose operators mean what the converters say."""


@attrs.frozen
class Exported:
    """A model, and what became of the net's blobs.

    Attributes:
        model: the model.
        values: the name of each blob's last value in the model, for the blobs that have one.
        notes: what the model does not have, or has otherwise, in sentences for people.
    """

    model: onnx.ModelProto
    values: Mapping[str, str]
    notes: list[str]


def export_net(
    net: Net,
    *,
    symbolic: bool = True,
    allow_custom: bool = False,
    opset: int = OPSET,
    settings: Mapping[str, str] | None = None,
) -> Exported:
    """Convert a net to an ONNX model that computes its outputs.

    Data layers become inputs, labels and losses are left out, Dropout and Split disappear. The batch size stays
    open (``N``) where the net allows it.

    Args:
        net: a net in TEST phase.
        symbolic: leave the batch size open, if possible.
        allow_custom: export a layer without ONNX form as an operator of domain ``cafx``.
        opset: version of ONNX's operators.
        settings: choices that converters read, such as ``{"detection": "nms"}``.

    Raises:
        NoOnnxForm: a layer has no ONNX form, or no converter.
        CafxError: the net is not in TEST phase, or nothing of it can be exported.

    Example:
        >>> from cafx.kernel import schema
        >>> net = Net(schema().parse_text('''
        ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
        ... layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }''', "NetParameter"), TEST, engine="numpy")
        >>> [node.op_type for node in export_net(net).model.graph.node]
        ['Relu']
    """
    if net.phase is not TEST:
        raise CafxError(f"net '{net.name}' is in {net.phase.name} phase", expected="TEST")
    notes: list[str] = []
    reason = ""
    for axis in (0, 1) if symbolic and net.inputs else ():
        try:
            shapes = symbolic_shapes(net, axis)
            return _Walk(net, shapes, allow_custom, dict(settings or {})).run(opset, notes)
        except NeedsFixedAxis as error:
            reason = f"{error.where} {error.message}"
            if error.axis != axis:
                break
        except NoOnnxForm:
            raise
        except CafxError as error:
            reason = str(error)
            break
    if reason:
        notes.append(f"the batch size is fixed: {reason}")
    return _Walk(net, fixed_shapes(net), allow_custom, dict(settings or {})).run(opset, notes)


class _Walk:
    """One attempt to export a net with blobs of given shapes."""

    def __init__(self, net: Net, shapes: Mapping[str, Shape], allow_custom: bool, settings: dict[str, str]) -> None:
        self.net, self.shapes, self.allow_custom, self.settings = net, shapes, allow_custom, settings
        self.graph = GraphBuilder()
        for name in net.blobs:
            self.graph.fresh(name)
        self.current: dict[str, str] = {}
        self.parameters: dict[int, str] = {}
        self.results: dict[str, str] = {}
        self.last_resort: list[str] = []
        self.temporary: set[str] = set()
        self.fed: set[str] = set()
        """Blobs that are inputs of the model by themselves."""

    def run(self, opset: int, notes: list[str]) -> Exported:
        """Export all layers and name what came out."""
        for planned in self.net.program.plan.layers:
            self._layer(planned, notes)
        names = self._set_outputs()
        dropped = [self._blob_of(value) for value in self.graph.prune()]
        self._name_values(names)
        notes += [f"input '{name}' is left out: no output needs it" for name in dropped]
        existing = self._existing()
        values = {blob: value for blob, value in self.current.items() if value in existing}
        return Exported(self._model(opset), values, notes)

    def _layer(self, planned: Any, notes: list[str]) -> None:
        layer: Layer = planned.layer
        bottoms = [self.current[blob.name] for blob in planned.bottoms]
        tops = [self.graph.fresh(f"{blob.name}/{layer.name}") for blob in planned.tops]
        for blob, value in zip(planned.tops, tops, strict=True):
            self.graph.shapes[value] = self.shapes[blob.name]
        self.temporary.update(tops)
        context = Exporter(
            self.net, layer, self.graph, bottoms, tops, self.parameters, self.settings, self.current.values()
        )
        converter = converter_of(layer.type, self.net.context.plugins)
        try:
            if converter is None:
                raise context.unsupported("no installed plugin provides a converter")
            converter.export(layer, context)
        except NeedsFixedAxis:
            raise
        except NoOnnxForm as error:
            if not self.allow_custom:
                raise error.at(planned.definition.where) from None
            add_custom(context)
            notes.append(f"{layer.where} is an operator of domain '{CUSTOM_DOMAIN}'")
        self.current.update({blob.name: value for blob, value in zip(planned.tops, context.tops, strict=True)})
        for value, name in context.results:
            self.results.setdefault(value, name or self._blob_of(value))
        self.last_resort += context.last_resort
        self.fed.update(blob.name for blob, value in zip(planned.tops, tops, strict=True) if value in self.graph.inputs)

    def _existing(self) -> set[str]:
        return {*self.graph.producers, *self.graph.inputs, *self.graph.constants}

    def _outputs(self) -> dict[str, str]:
        """Name of each output by value: blobs that nobody reads, results of losses left out; in want of any, scores."""
        existing = self._existing()
        unread = {self.current[blob]: blob for blob in self.net.outputs if self.current[blob] in existing}
        found = {value: name for value, name in self.results.items() if value in existing}
        found |= {
            value: blob for value, blob in unread.items() if value not in self.graph.inputs or blob not in self.fed
        }
        found = found or {value: self._blob_of(value) for value in self.last_resort if value in existing}
        if not (found or unread):
            raise CafxError(f"net '{self.net.name}' has no output that can be exported")
        return found or unread

    def _set_outputs(self) -> dict[str, str]:
        """Make values outputs of the graph; an input or a constant by a node. Returns the name of each."""
        names: dict[str, str] = {}
        for value, name in self._outputs().items():
            output = value
            if value not in self.graph.producers:
                output = self.graph.fresh(f"{name}/Identity")
                self.graph.shapes[output] = self.graph.shapes.get(value, ())
                self.graph.add("Identity", [value], [output], name=f"{name}/Identity")
                self.current.update({blob: output for blob in self.current if blob == name and blob not in self.fed})
            self.graph.outputs.append(output)
            names[output] = name if name in self.net.blobs else self.graph.fresh(name)
        return names

    def _name_values(self, names: dict[str, str]) -> None:
        """Give outputs their names, and the last value of each blob the blob's name; the first of several wins."""
        for blob, value in self.current.items():
            if value in self.temporary and value not in names and blob not in names.values():
                names[value] = blob
        self.graph.rename(names)
        self.current = {blob: names.get(value, value) for blob, value in self.current.items()}

    def _blob_of(self, value: str) -> str:
        return next((blob for blob, each in self.current.items() if each == value), value)

    def _model(self, opset: int) -> onnx.ModelProto:
        model = self.graph.model(self.net.name or "net", opset, IR_VERSION)
        edges = {*self.graph.inputs, *self.graph.outputs}
        inner = [value for node in self.graph.nodes for value in node.output if value not in edges]
        model.graph.value_info.extend(
            helper.make_tensor_value_info(value, FLOAT, self.graph.shapes[value])
            for value in inner
            if value in self.graph.shapes
        )
        return model


def add_custom(context: Exporter) -> None:
    """Export a layer as an operator of domain ``cafx`` that has the layer's definition as its attribute.

    Args:
        context: the graph, and the layer's values.
    """
    layer = context.layer
    spec = type(layer.spec)()
    spec.CopyFrom(layer.spec)
    del spec.blobs[:]
    parameters = [context.parameter(index) for index in range(len(layer.blobs))]
    context.add(
        layer.type,
        [*context.bottoms, *parameters],
        context.tops,
        domain=CUSTOM_DOMAIN,
        layer=text_format.MessageToString(spec, use_short_repeated_primitives=True),
    )
