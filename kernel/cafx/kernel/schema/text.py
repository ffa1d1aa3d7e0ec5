"""Prototxt: readable parse errors and the line number of each layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import text_format

from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean
from cafx.kernel.registry import likely_distribution, registry

Classes = Mapping[str, Any]
Clashes = Mapping[str, CafxError]
HINTS_ROLE = "hints"


def explained(error: text_format.ParseError, text: str, source: str, classes: Classes, clashes: Clashes) -> CafxError:
    """Convert a protobuf parse error to a CafxError with location, near misses and remedy.

    Args:
        error: the parser's error.
        text: the text.
        source: its name; the error's location is ``source:line``.
        classes: message classes by name, for near misses.
        clashes: errors of fields that two distributions declare, by field name.
    """
    line = error.GetLine()
    where = f"{source}:{line}" if line else source
    reason = re.sub(r"^\d+:\d+ : ('.*': )?", "", str(error), flags=re.DOTALL)
    quoted = re.match(r"\d+:(\d+) : '", str(error))  # the line of text follows
    before = str(error)[quoted.end() :][: int(quoted[1]) - 1] if quoted else ""
    field = re.search(r"(\w+)\s*:[^:{}]*$", before)
    for hint in (thing for plugin, thing in registry().usable("role") if plugin.name == HINTS_ROLE):
        hinted: CafxError | None = hint(text, source, line, field[1] if field else "", reason)
        if hinted:
            return hinted
    unknown = re.search(r'type "caffe\.([\w.]+)" has no field named "(\w+)"', reason)
    if unknown:
        return _unknown_field(unknown[1], unknown[2], classes, clashes).at(where)
    value = re.search(r'Enum type "caffe\.([\w.]+)" has no value (?:named|with number) (\S+?)\.?$', reason)
    if value:
        return _unknown_value(value[1], value[2], classes).at(where)
    what = f"the value of '{field[1]}' " if field else ""
    return CafxError(f"{what}cannot be read as prototxt: {reason}", where=where)


def _unknown_field(owner: str, field: str, classes: Classes, clashes: Clashes) -> CafxError:
    if field in clashes:
        clash = clashes[field]
        return CafxError(clash.message, remedy=clash.remedy)
    known = [known.name for known in classes[owner].DESCRIPTOR.fields]
    remedy = did_you_mean(field, known)
    if owner.endswith("LayerParameter") and field.endswith("_param"):
        plugin = likely_distribution("layer", field.removesuffix("_param").replace("_", ""))
        hint = f"no installed plugin declares it; try 'pip install {plugin}'"
        remedy = f"{hint}, or {remedy}" if remedy else hint
    return UnknownNameError(f"{owner} has no field '{field}'", remedy=remedy)


def _unknown_value(enum: str, value: str, classes: Classes) -> CafxError:
    scope, _, short = enum.rpartition(".")
    holder = classes[scope].DESCRIPTOR if scope else None
    names = list(holder.enum_types_by_name[short].values_by_name) if holder else ["TRAIN", "TEST"]
    known = "one of " + ", ".join(names)
    return UnknownNameError(f"unknown value '{value}' of {enum}", expected=known, remedy=did_you_mean(value, names))


def with_layer_name(path: str, proto: Any) -> str:
    """Name the layer in a field's path: ``layer[1].clip_param.min`` → ``layer 'clip' without clip_param.min``."""
    return re.sub(r"^layer\[(\d+)\]\.", lambda at: f"layer '{proto.layer[int(at[1])].name}' without ", path)


def layer_lines(text: str) -> list[int]:
    """The line number, counted from 1, on which each layer of a prototxt begins.

    Example:
        >>> layer_lines('name: "n"\\nlayer { }\\nlayer { }')
        [2, 3]
    """
    lines, depth, line = [], 0, 1
    for token in re.finditer(r'\n|#[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[{}<>]|\w+', text):
        word = token[0]
        if word == "\n":
            line += 1
        elif word in "{<":
            depth += 1
        elif word in "}>":
            depth -= 1
        elif depth == 0 and word in ("layer", "layers"):
            lines.append(line)
    return lines
