"""Nets to ONNX and back: the seam to which converters of layers are written.

`export_net` walks a net and hands each layer's `Converter`, a plugin of group ``cafx.onnx``, an `Exporter`.
"""

from cafx_lib_onnx.converter import KIND, Converter, converter_of
from cafx_lib_onnx.errors import NoLayerForm, NoOnnxForm
from cafx_lib_onnx.exporter import Exporter, NeedsFixedAxis
from cafx_lib_onnx.exporting import IR_VERSION, OPSET, OPSETS, Exported, add_custom, export_net
from cafx_lib_onnx.files import array_of, read_model, save_model
from cafx_lib_onnx.graph import CUSTOM_DOMAIN, GraphBuilder, Shape
from cafx_lib_onnx.importer import Importer
from cafx_lib_onnx.importing import Imported, import_model
from cafx_lib_onnx.metadata import bake, describe, properties_of
from cafx_lib_onnx.running import Session, require_runtime, with_outputs

__all__ = [
    "CUSTOM_DOMAIN",
    "Converter",
    "Exported",
    "Exporter",
    "GraphBuilder",
    "IR_VERSION",
    "Imported",
    "Importer",
    "KIND",
    "NeedsFixedAxis",
    "NoLayerForm",
    "NoOnnxForm",
    "OPSET",
    "OPSETS",
    "Session",
    "Shape",
    "add_custom",
    "array_of",
    "bake",
    "converter_of",
    "describe",
    "export_net",
    "import_model",
    "properties_of",
    "read_model",
    "require_runtime",
    "save_model",
    "with_outputs",
]
