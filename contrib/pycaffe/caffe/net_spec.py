"""Nets written in Python: cafx.dsl under the names of pycaffe's module."""

from typing import Any

from cafx.dsl import Function, NetSpec, Top, layers, params, to_proto
from cafx.dsl import assign as assign_proto
from cafx.kernel import registry

__all__ = ["Function", "NetSpec", "Top", "assign_proto", "layers", "param_name_dict", "params", "to_proto"]


def param_name_dict() -> dict[str, Any]:
    """For each layer type with options, the LayerParameter field that holds them, short of ``_param``."""
    found = {}
    for plugin, layer in registry().usable("layer"):
        hung = getattr(getattr(layer, "Parameter", None), "__extends__", None)
        if hung is not None:
            found[plugin.name] = hung.field.removesuffix("_param")
    return found
