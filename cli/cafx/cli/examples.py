"""An example of a layer, from the first of its own cases, in prototxt and in the DSL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cafx.kernel import Layer, schema

LIMIT = 12


def prototxt_example(name: str, layer: type[Layer]) -> str:
    """The layer as a prototxt states it."""
    proto = schema()["LayerParameter"](name=short_name(name), type=name)
    proto.bottom.extend(_bottoms(layer))
    proto.top.extend(_tops(name, layer))
    hung = layer.Parameter.__extends__ if layer.Parameter else None
    options = example_options(layer)
    if layer.Parameter is not None and hung is not None and options and hasattr(proto, hung.field):
        layer.Parameter(**options).fill(getattr(proto, hung.field))
    inside = schema().to_text(proto).rstrip().replace("\n", "\n  ")
    return f"layer {{\n  {inside}\n}}"


def dsl_example(name: str, layer: type[Layer]) -> str:
    """The layer as the DSL states it."""
    bottoms = [f"n.{bottom}" for bottom in _bottoms(layer)]
    options = [f"{key}={_python(value)}" for key, value in example_options(layer).items()]
    tops = _tops(name, layer)
    many = [f"ntop={len(tops)}"] if len(tops) > 1 else []
    call = f"L.{name}({', '.join([*bottoms, *options, *many])})"
    return f"{', '.join(f'n.{top}' for top in tops)} = {call}" if tops else f"n.{short_name(name)} = {call}"


def example_options(layer: type[Layer]) -> Mapping[str, Any]:
    """The options of the layer's first case that has any; none where the suite is not installed."""
    try:
        cases = list(layer.cases())
    except ImportError:
        return {}
    given = (getattr(case, "options", {}) for case in cases[:LIMIT])
    return next((dict(options) for options in given if options), {})


def short_name(name: str) -> str:
    """A layer's name as people write it: ``ip1`` would be shorter, ``innerproduct1`` is clear."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) + "1"


def _bottoms(layer: type[Layer]) -> list[str]:
    least = layer.bottoms if isinstance(layer.bottoms, int) else layer.bottoms[0]
    names = ["data"] if not layer.is_loss else ["score", "label"]
    if least > 1 and not layer.is_loss:
        names = ["label" if i in layer.integer_bottoms else f"data{i}" for i in range(least)]
    return (names + [f"data{i}" for i in range(2, least)])[:least]


def _tops(name: str, layer: type[Layer]) -> list[str]:
    least = layer.tops if isinstance(layer.tops, int) else layer.tops[0]
    if layer.is_loss:
        return ["loss"]
    return [short_name(name)] if least == 1 else [f"{short_name(name)}_{i}" for i in range(least)]


def _python(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_python(each)}' for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_python, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
