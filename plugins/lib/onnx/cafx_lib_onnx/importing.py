"""import_model: from an ONNX model to a net and its weights, node by node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import onnx
from google.protobuf import text_format

from cafx.kernel import TEST, CafxError, Net, Registry, registry, schema
from cafx.kernel.files import shown
from cafx_lib_onnx.converter import KIND
from cafx_lib_onnx.errors import NoLayerForm
from cafx_lib_onnx.files import Array
from cafx_lib_onnx.graph import CUSTOM_DOMAIN
from cafx_lib_onnx.graph_view import STANDARD, GraphView
from cafx_lib_onnx.importer import Importer, NetBuilder

MOST_NAMED = 30
IN_PLACE = ("ReLU", "BatchNorm", "Scale", "Dropout")
"""Layers that Caffe's own nets compute in place."""
OPSETS_READ = range(7, 27)
MALFORMED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What Python raises when an attribute is missing, or of another type or length than the operator's definition says."""


@attrs.frozen
class Imported:
    """A net that was read from an ONNX model.

    Attributes:
        proto: its NetParameter.
        weights: the values of each layer's parameters, by the layer's name.
        blobs: the blob that holds each value of the model.
    """

    proto: Any
    weights: Mapping[str, list[Array]]
    blobs: Mapping[str, str]

    def build(self, **settings: Any) -> Net:
        """The net with its weights.

        Args:
            settings: keywords of `cafx.kernel.Net`.

        Raises:
            CafxError: a weight does not have the shape that its layer says.
        """
        net = Net(self.proto, TEST, **settings)
        for name, arrays in self.weights.items():
            for index, (blob, array) in enumerate(zip(net.params[name], arrays, strict=True)):
                if blob.count() != array.size:
                    found, expected = ("×".join(map(str, each)) for each in (array.shape, blob.shape))
                    where = f"layer '{shown(name)}', parameter {index}"
                    raise CafxError(
                        "the model's weights have another shape", where=where, found=found, expected=expected
                    )
                blob.set_data(array.reshape(blob.shape))
        return net


def import_model(model: onnx.ModelProto, *, batch: int = 1, plugins: Registry | None = None) -> Imported:
    """Convert an ONNX model to a net that runs and trains.

    Args:
        model: the model, with its weights.
        batch: batch size where the model leaves it open.
        plugins: the registry that provides converters (default: all installed plugins).

    Raises:
        CafxError: the model is not valid, or has nodes without layer form, which are listed with their reasons.
    """
    plugins = plugins or registry()
    version = next((each.version for each in model.opset_import if each.domain in STANDARD), None)
    if version is not None and version not in OPSETS_READ:
        expected = f"{OPSETS_READ[0]} to {OPSETS_READ[-1]}"
        raise CafxError("unknown version of ONNX's operators", found=version, expected=expected)
    view = GraphView(model, batch)
    net = NetBuilder(schema(plugins)["NetParameter"](name=model.graph.name or "net"))
    for name in view.inputs:
        _add_input(net, name, view.shape(name))
    converters = _by_operator(plugins)
    failures: list[NoLayerForm] = []
    for node in view.nodes:
        if id(node) not in net.done:
            failures += _import_node(Importer(node, view, net), converters)
    if failures:
        raise _lacking(failures)
    for value in view.outputs:
        if value in view.constants and value not in net.blobs:
            Importer(onnx.NodeProto(), view, net).blob(value)
    _use_in_place(net, view)
    return Imported(net.proto, net.weights, net.blobs)


def _add_input(net: NetBuilder, name: str, shape: tuple[int, ...]) -> None:
    layer = net.proto.layer.add(name=net.layer_name(name), type="Input", top=[net.blob_name(name)])
    layer.input_param.shape.add().dim.extend(shape)


def _by_operator(plugins: Registry) -> dict[str, list[Any]]:
    """The converters that import each operator."""
    found: dict[str, list[Any]] = {}
    for _, converter in plugins.usable(KIND):
        for operator in getattr(converter, "operators", ()):
            if converter not in found.setdefault(operator, []):
                found[operator].append(converter)
    return found


def _import_node(context: Importer, converters: Mapping[str, list[Any]]) -> list[NoLayerForm]:
    """Import a node; what is wrong with it otherwise, so that all such nodes can be told at once."""
    failure = NoLayerForm("no layer computes this operator", where=context.where)
    for value in context.inputs:  # what follows an unsupported node is looked at, too
        if value and value not in context.net.blobs and value not in context.view.constants:
            context.net.blob_name(value)
    candidates = converters.get(context.op, ()) if context.node.domain in STANDARD else ()
    try:
        with np.errstate(all="ignore"):
            if context.node.domain == CUSTOM_DOMAIN:
                _add_custom(context)
                return []
            for converter in candidates:
                try:
                    converter.import_(context)
                except NoLayerForm as error:
                    failure = error
                else:
                    return []
    except CafxError as error:
        failure = NoLayerForm(error.message, where=context.where, found=error.found, expected=error.expected)
    except MALFORMED as error:
        reason = f"{type(error).__name__}: {shown(' '.join(str(error).split())[:200])}"
        failure = NoLayerForm(
            f"has an attribute or input that its converter cannot read ({reason})", where=context.where
        )
    return [failure]


def _lacking(failures: list[NoLayerForm]) -> CafxError:
    """One error for all nodes without layer form."""
    named = [str(each) for each in failures[:MOST_NAMED]]
    more = [f"and {len(failures) - MOST_NAMED} more"] if len(failures) > MOST_NAMED else []
    count = f"{len(failures)} node{'s' * (len(failures) != 1)}"
    return CafxError(f"{count} cannot be imported:\n  " + "\n  ".join(named + more))


def _add_custom(context: Importer) -> None:
    """A layer that was exported as an operator of domain ``cafx``."""
    spec = schema(registry())["LayerParameter"]()
    try:
        text_format.Parse(str(context.attribute("layer", "")), spec)
    except text_format.ParseError as error:
        raise context.unsupported(f"its definition cannot be read: {shown(str(error))}") from None
    if spec.type != context.op or len(spec.bottom) > len(context.inputs) or len(spec.top) != len(context.outputs):
        raise context.unsupported("its definition is that of another layer")
    bottoms, parameters = context.inputs[: len(spec.bottom)], range(len(spec.bottom), len(context.inputs))
    weights = [context.required(index, "a parameter") for index in parameters]
    layer = context.add(spec.type, bottoms, context.outputs, weights=weights, name=spec.name)
    name, bottom, top = layer.name, list(layer.bottom), list(layer.top)
    layer.CopyFrom(spec)
    layer.name, layer.bottom[:], layer.top[:] = name, bottom, top


def _use_in_place(net: NetBuilder, view: GraphView) -> None:
    """Let layers that can work in place do so where nobody else reads their bottom, as Caffe's own nets do."""
    readers: dict[str, int] = {}
    for layer in net.proto.layer:
        for bottom in layer.bottom:
            readers[bottom] = readers.get(bottom, 0) + 1
    kept = {net.blobs[name] for name in (*view.inputs, *view.outputs) if name in net.blobs}
    renamed: dict[str, str] = {}
    fixed = {top for layer in net.proto.layer if layer.type in ("Input", "Parameter") for top in layer.top}
    for layer in net.proto.layer:
        one = len(layer.bottom) == 1 == len(layer.top)
        if one and layer.type in IN_PLACE:
            bottom = layer.bottom[0]
            if readers[bottom] == 1 and bottom not in kept and bottom not in fixed:
                renamed[bottom] = layer.top[0]
    final = {name: _last(name, renamed) for name in renamed}
    for layer in net.proto.layer:
        layer.bottom[:] = [final.get(each, each) for each in layer.bottom]
        layer.top[:] = [final.get(each, each) for each in layer.top]
    net.blobs.update({value: final.get(blob, blob) for value, blob in net.blobs.items()})


def _last(name: str, renamed: Mapping[str, str]) -> str:
    while name in renamed:
        name = renamed[name]
    return name
