"""Converter: what a plugin of group ``cafx.onnx`` says about one layer type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from cafx.kernel import Layer, Registry

if TYPE_CHECKING:
    from cafx_lib_onnx.exporter import Exporter
    from cafx_lib_onnx.importer import Importer

KIND = "onnx"


class Converter:
    """Translates layers of one type to ONNX nodes and back; a plugin of group ``cafx.onnx``.

    The entry point's name is the layer's type. Deriving from this class is optional: any class with a static method
    ``export`` is a converter, so that a layer's own distribution need not depend on this one.

    Class attributes:
        operators: the ONNX operators from which `import_` makes such a layer.
        partial: why the exported nodes do not compute the layer's tops, such as a loss that is left out; empty if
            they do. Conformance compares only the others.

    Example:
        >>> class Double(Converter):
        ...     operators = ()
        ...     @staticmethod
        ...     def export(layer, context):
        ...         context.add("Add", [context.bottoms[0]] * 2, context.tops)
    """

    operators: ClassVar[tuple[str, ...]] = ()
    partial: ClassVar[str] = ""

    @staticmethod
    def export(layer: Layer, context: Exporter) -> None:
        """Add the nodes that compute the layer's tops from its bottoms.

        Args:
            layer: the layer, set up and shaped, with its options and parameters.
            context: the graph to add to, and the names of the bottoms' and tops' values.

        Raises:
            NoOnnxForm: there are no such nodes; see `Exporter.unsupported`.
        """
        raise NotImplementedError

    @staticmethod
    def import_(context: Importer) -> None:
        """Add the layers that compute a node's outputs from its inputs.

        Args:
            context: the node, and the net to add to.

        Raises:
            CafxError: an attribute or shape that no layer has; see `Importer.unsupported`.
        """
        raise NotImplementedError


def converter_of(type_name: str, plugins: Registry) -> Any:
    """The converter of a layer type; None if no installed plugin provides one.

    Raises:
        CafxError: several distributions provide it, or its plugin cannot be imported.
    """
    return plugins.load(KIND, type_name) if type_name in plugins.names(KIND) else None
