"""What lies behind a parser's error: a brace, the type of another format, or a backslash."""

from __future__ import annotations

import re
from typing import Any

from cafx.kernel import CafxError, UnknownNameError, registry, schema
from cafx.kernel.errors import near_misses
from cafx_lib_hints.braces import misplaced_brace
from cafx_lib_hints.needs import needs_of, refusal

QUOTED_TYPE = re.compile(r'Enum type "caffe\.V1LayerParameter\.LayerType" has no value named "(\w+)"')
BARE_TEXT = re.compile(r"Expected string but found: '(\w+)'")
BAD_ESCAPE = re.compile(r"codec can't decode")
UNKNOWN = re.compile(r"has no (field named|value (named|with number)) ")
BACKSLASH = "in a text a backslash begins an escape; write folders with /, or each backslash twice"


def explain(
    text: str, source: str, line: int | None, field: str, reason: str, descriptor: Any = None
) -> CafxError | None:
    """The error for a prototxt that cannot be parsed, if it is a common mistake.

    Args:
        text: the prototxt.
        source: its name.
        line: the line of the parser's error, if known.
        field: the field whose value it concerns, or "".
        reason: the parser's message.
        descriptor: protobuf's descriptor of the text's message; None to explain no unknown names.

    Example:
        >>> error = explain("layer { type: RELU }", "net", 1, "type", "Expected string but found: 'RELU'")
        >>> print(error.remedy)
        write type: "ReLU" (RELU is for 'layers', the old format)
    """
    brace = misplaced_brace(text, source)
    if brace:
        return brace
    where = f"{source}:{line}" if line else source
    quoted, bare = QUOTED_TYPE.search(reason), BARE_TEXT.search(reason)
    if quoted and field == "type":
        return _quoted_type(quoted[1], where)
    if bare and field == "type":
        return _bare_type(bare[1], where)
    if bare and field:
        remedy = f'write {field}: "{bare[1]}"'
        return CafxError(f"{field} is a text in quotes", where=where, found=bare[1], remedy=remedy)
    if descriptor is not None and UNKNOWN.search(reason):
        needs = needs_of(text, descriptor)
        return refusal(needs, source) if needs else None
    if BAD_ESCAPE.search(reason):
        what = f"the value of '{field}' " if field else ""
        return CafxError(f"{what}has a backslash that begins no escape", where=where, remedy=BACKSLASH)
    return None


def _quoted_type(name: str, where: str) -> CafxError:
    """``layers { type: "Softmax" }``."""
    types = schema()["V1LayerParameter"].DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name
    close = near_misses(name, types)
    instead = f", or type: {close[0]}" if close else ""
    return UnknownNameError(
        "type of 'layers', the old format, has no quotes",
        where=where,
        found=f'"{name}"',
        remedy=f"write 'layer {{' in place of 'layers {{', in all layers{instead}",
    )


def _bare_type(name: str, where: str) -> CafxError:
    """``layer { type: SOFTMAX }``."""
    close = near_misses(name.replace("_", ""), registry().names("layer"))
    new = close[0] if close else name
    remedy = f"write type: \"{new}\" ({name} is for 'layers', the old format)"
    return CafxError("type of a 'layer' is a text in quotes", where=where, found=name, remedy=remedy)
