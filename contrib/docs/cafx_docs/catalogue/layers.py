"""What a layer's page says besides the plugin's own description: engines, ONNX, Caffe's page."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from cafx.kernel import registry, schema
from cafx_docs.catalogue.caffe import caffe_page

ROUTINE, REFERENCE = "its own routine", "as the layer is written"
REFERENCE_ENGINE = "numpy"


def engines_section(type_name: str) -> str:
    """How each installed engine computes a layer type."""
    rows = [f"| [{name}](../engines/{name}.md) | {text} |" for name, text in engines_of(type_name)]
    return "\n".join(["## Engines", "", "| engine | computes it by |", "| --- | --- |", *rows])


def engines_of(type_name: str) -> Iterator[tuple[str, str]]:
    """Each installed engine, and whether it has a routine for a layer type.

    >>> dict(engines_of("AbsVal"))["numpy"]
    'as the layer is written'
    """
    for name in registry().names("engine"):
        yield name, ROUTINE if type_name in registry().names(f"engine.{name}") else REFERENCE


def onnx_section(type_name: str) -> str:
    """Whether and how a layer type is converted to and from ONNX."""
    return f"## ONNX\n\n{onnx_text(type_name)} See [ONNX](../../onnx.md)."


def onnx_text(type_name: str) -> str:
    """Whether and how a layer type is converted to and from ONNX, as sentences."""
    if type_name not in registry().names("onnx"):
        return "No converter is installed for this type."
    converter = registry().load("onnx", type_name)
    export = " ".join(inspect.cleandoc(converter.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")
    operators = ", ".join(f"`{each}`" for each in getattr(converter, "operators", ()))
    return f"Export: {export.rstrip('.')}." + (f" Import: {operators}." if operators else " There is no import.")


def caffe_section(type_name: str) -> str:
    """A link to Caffe's page about a layer type; empty if it has none."""
    address = caffe_page(type_name)
    return f"## In Caffe\n\nCaffe's page about this layer: <{address}>." if address else ""


def check_example(prototxt: str) -> None:
    """Parse an example.

    Raises:
        CafxError: it is not a layer that can be read.
    """
    schema().parse_text(prototxt, "NetParameter")
