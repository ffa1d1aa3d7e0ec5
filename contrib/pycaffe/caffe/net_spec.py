"""Nets defined in Python: cafx.dsl under the names of pycaffe's module."""

from typing import Any

from cafx.dsl import Function as CheckedFunction
from cafx.dsl import Layers, NetSpec, Top, params, to_proto
from cafx.dsl import assign as assign_proto
from cafx.kernel import registry

__all__ = ["Function", "NetSpec", "Top", "assign_proto", "layers", "param_name_dict", "params", "to_proto"]


class Function(CheckedFunction):
    """One layer; a bottom that is not a top is refused in pycaffe's words."""

    def not_a_top(self, index: int, given: Any) -> Exception:
        """pycaffe's TypeError, with the place and the remedy as a note."""
        error = TypeError(f"{self.type_name} input {index} is not a Top (type is {type(given)})")
        error.add_note(f"cafx: {self.place}: {super().not_a_top(index, given)}")
        return error


layers = Layers(Function)


def param_name_dict() -> dict[str, Any]:
    """The LayerParameter field of each layer type's options, without the suffix ``_param``.

    Example:
        >>> param_name_dict()["InnerProduct"]
        'inner_product'
    """
    names = {}
    for plugin, layer in registry().usable("layer"):
        extension = getattr(getattr(layer, "Parameter", None), "__extends__", None)
        if extension is not None:
            names[plugin.name] = extension.field.removesuffix("_param")
    return names
