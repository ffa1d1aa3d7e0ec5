"""Nets defined in Python: cafx.dsl under the names of pycaffe's module."""

from typing import Any

from cafx.dsl import Function, NetSpec, Top, layers, params, to_proto
from cafx.dsl import assign as assign_proto
from cafx.kernel import registry

__all__ = ["Function", "NetSpec", "Top", "assign_proto", "layers", "param_name_dict", "params", "to_proto"]


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
