"""Examples of a layer in prototxt and in the DSL, made from its conformance cases."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from typing import Any

import attrs

from cafx.kernel import Layer, schema
from cafx.kernel.schema import Message, declared_by

MAX_CASES = 12
IGNORED = ("accepted for compatibility", "ignored;")
"""How the documentation of an option without effect begins."""


@attrs.frozen
class Example:
    """The contents of an example.

    Attributes:
        bottoms, tops: names of blobs.
        options: options of the layer's own messages.
        fields: other fields of the LayerParameter.
    """

    bottoms: list[str]
    tops: list[str]
    options: Mapping[str, Any]
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, layer: type[Layer]) -> Example:
        """The example of a layer type, from the case that `example_case` chooses."""
        case = example_case(layer)
        bottoms = len(getattr(case, "bottoms", ())) if case else _minimum(layer.bottoms)
        tops = case.tops if case else _minimum(layer.tops)
        options = _effective(layer, case.options) if case else {}
        fields = dict(case.layer) if case else {}
        return cls(_bottoms(layer, bottoms), _tops(name, layer, tops), _portable(options), _portable(fields))


def prototxt_example(name: str, layer: type[Layer]) -> str:
    """The example as prototxt."""
    example = Example.of(name, layer)
    proto = schema()["LayerParameter"](name=short_name(name), type=name)
    proto.bottom.extend(example.bottoms)
    proto.top.extend(example.tops)
    nested = schema().fields_of("LayerParameter")
    plain = {key: value for key, value in example.fields.items() if key not in nested}
    schema().declarations["LayerParameter"](**plain).fill(proto)
    for key in set(example.fields) & set(nested):
        nested[key](**example.fields[key]).fill(getattr(proto, key))
    for declared, options in _by_message(layer, example.options):
        extends = declared.__extends__
        if extends is not None and hasattr(proto, extends.field):
            declared(**options).fill(getattr(proto, extends.field))
    body = schema().to_text(proto).rstrip().replace("\n", "\n  ")
    return f"layer {{\n  {body}\n}}"


def dsl_example(name: str, layer: type[Layer]) -> str:
    """The example as a line of Python."""
    example = Example.of(name, layer)
    bottoms = [f"n.{bottom}" for bottom in example.bottoms]
    keywords = [f"{key}={_python(value)}" for key, value in {**example.options, **example.fields}.items()]
    keywords += [f"ntop={len(example.tops)}"] if len(example.tops) > 1 else []
    call = f"L.{name}({', '.join([*bottoms, *keywords])})"
    tops = [f"n.{top}" for top in example.tops] or [f"n.{short_name(name)}"]
    return f"{', '.join(tops)} = {call}"


def example_case(layer: type[Layer]) -> Any:
    """The first case that sets an option with an effect, else the first; None without the conformance suite."""
    try:
        cases = list(layer.cases())[:MAX_CASES]
    except ImportError:
        return None
    informative = (case for case in cases if _effective(layer, getattr(case, "options", {})))
    return next(informative, cases[0] if cases else None)


def _effective(layer: type[Layer], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that have an effect."""
    return {
        name: value
        for declared, values in _by_message(layer, options)
        for name, value in values.items()
        if not declared.__options__[name].doc.startswith(IGNORED)
    }


def _by_message(layer: type[Layer], options: Mapping[str, Any]) -> list[tuple[type[Message], dict[str, Any]]]:
    """Options grouped by the message that declares them."""
    groups = []
    for declared in declared_by(layer):
        own = {name: value for name, value in options.items() if name in declared.__options__}
        options = {name: value for name, value in options.items() if name not in own}
        groups += [(declared, own)] if own else []
    return groups


def _portable(value: Any) -> Any:
    """A value with paths in the temporary folder of sample files reduced to file names, without that folder."""
    if isinstance(value, Mapping):
        portable = {key: _portable(each) for key, each in value.items()}
        return {key: each for key, each in portable.items() if each != "" or value[key] == ""}
    if isinstance(value, str):
        return re.sub(rf"^{re.escape(tempfile.gettempdir())}/[^/]+/", "", value)
    return value


def short_name(name: str) -> str:
    """A name for a layer of this type.

    >>> short_name("InnerProduct")
    'innerproduct1'
    """
    return re.sub(r"[^a-z0-9]", "", name.lower()) + "1"


def _minimum(arity: Any) -> int:
    return int(arity if isinstance(arity, int) else arity[0])


def _bottoms(layer: type[Layer], count: int) -> list[str]:
    names = ["data"] if not layer.is_loss else ["score", "label"]
    if count > 1 and not layer.is_loss:
        names = ["label" if i in layer.integer_bottoms else f"data{i}" for i in range(count)]
    return (names + [f"data{i}" for i in range(2, count)])[:count]


def _tops(name: str, layer: type[Layer], count: int) -> list[str]:
    if layer.bottoms == 0 and layer.forward_only:
        return ["data", "label", *(f"data{i}" for i in range(2, count))][:count]
    names = [short_name(name)] if count == 1 else [f"{short_name(name)}_{i}" for i in range(count)]
    return ["loss", *names[1:]] if layer.is_loss else names


def _python(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_python(each)}' for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_python, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
