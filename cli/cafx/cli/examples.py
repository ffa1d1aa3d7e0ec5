"""An example of a layer, from one of its own cases, in prototxt and in the DSL."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from typing import Any

import attrs

from cafx.kernel import Layer, schema
from cafx.kernel.schema import Message, declared_by

LIMIT = 12
IGNORED = ("accepted for compatibility", "read and ignored")


@attrs.frozen
class Example:
    """What an example states: the names of bottoms and tops, options, and other fields of the layer."""

    bottoms: list[str]
    tops: list[str]
    options: Mapping[str, Any]
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, layer: type[Layer]) -> Example:
        """From the layer's first case that states an option that does something."""
        case = telling_case(layer)
        bottoms = len(getattr(case, "bottoms", ())) if case else _least(layer.bottoms)
        tops = case.tops if case else _least(layer.tops)
        options = _effective(layer, case.options) if case else {}
        fields = dict(case.layer) if case else {}
        return cls(_bottoms(layer, bottoms), _tops(name, layer, tops), _portable(options), _portable(fields))


def prototxt_example(name: str, layer: type[Layer]) -> str:
    """The layer as a prototxt states it."""
    example = Example.of(name, layer)
    proto = schema()["LayerParameter"](name=short_name(name), type=name)
    proto.bottom.extend(example.bottoms)
    proto.top.extend(example.tops)
    hung = schema().fields_of("LayerParameter")
    plain = {key: value for key, value in example.fields.items() if key not in hung}
    schema().declarations["LayerParameter"](**plain).fill(proto)
    for key in set(example.fields) & set(hung):
        hung[key](**example.fields[key]).fill(getattr(proto, key))
    for declared, options in _by_message(layer, example.options):
        extends = declared.__extends__
        if extends is not None and hasattr(proto, extends.field):
            declared(**options).fill(getattr(proto, extends.field))
    inside = schema().to_text(proto).rstrip().replace("\n", "\n  ")
    return f"layer {{\n  {inside}\n}}"


def dsl_example(name: str, layer: type[Layer]) -> str:
    """The layer as the DSL states it."""
    example = Example.of(name, layer)
    bottoms = [f"n.{bottom}" for bottom in example.bottoms]
    stated = [f"{key}={_python(value)}" for key, value in {**example.options, **example.fields}.items()]
    many = [f"ntop={len(example.tops)}"] if len(example.tops) > 1 else []
    call = f"L.{name}({', '.join([*bottoms, *stated, *many])})"
    tops = [f"n.{top}" for top in example.tops] or [f"n.{short_name(name)}"]
    return f"{', '.join(tops)} = {call}"


def telling_case(layer: type[Layer]) -> Any:
    """The case of the example; None where the suite is not installed."""
    try:
        cases = list(layer.cases())[:LIMIT]
    except ImportError:
        return None
    telling = (case for case in cases if _effective(layer, getattr(case, "options", {})))
    return next(telling, cases[0] if cases else None)


def _effective(layer: type[Layer], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that do something."""
    return {
        name: value
        for declared, stated in _by_message(layer, options)
        for name, value in stated.items()
        if not declared.__options__[name].doc.startswith(IGNORED)
    }


def _by_message(layer: type[Layer], options: Mapping[str, Any]) -> list[tuple[type[Message], dict[str, Any]]]:
    """Options by the message that declares them."""
    found = []
    for declared in declared_by(layer):
        mine = {name: value for name, value in options.items() if name in declared.__options__}
        options = {name: value for name, value in options.items() if name not in mine}
        found += [(declared, mine)] if mine else []
    return found


def _portable(stated: Any) -> Any:
    """What is stated without the folder of this run's samples: a path becomes the file's name."""
    if isinstance(stated, Mapping):
        return {key: _portable(value) for key, value in stated.items()}
    if isinstance(stated, str):
        return re.sub(rf"^{re.escape(tempfile.gettempdir())}/[^/]+/", "", stated)
    return stated


def short_name(name: str) -> str:
    """A layer's name as people write it: ``ip1`` would be shorter, ``innerproduct1`` is clear."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) + "1"


def _least(arity: Any) -> int:
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
