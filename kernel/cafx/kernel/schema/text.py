"""Prototxt: readable parse errors and the line number of each layer."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import text_format

from cafx.kernel.errors import CafxError, UnknownNameError
from cafx.kernel.registry import registry

BACKSLASHES = re.compile(r"(?:\\\\){32,}")


def explained(error: text_format.ParseError, text: str, source: str, descriptor: Any) -> CafxError:
    """Convert a protobuf parse error to a CafxError with location, and with the remedy that role ``hints`` knows.

    Args:
        error: the parser's error.
        text: the text.
        source: its name; the error's location is ``source:line``.
        descriptor: protobuf's descriptor of the text's message.
    """
    line = error.GetLine()
    reason = re.sub(r"^\d+:\d+ : ('.*': )?", "", str(error), flags=re.DOTALL)
    quoted = re.match(r"\d+:(\d+) : '", str(error))  # the line of text follows
    before = str(error)[quoted.end() :][: int(quoted[1]) - 1] if quoted else ""
    field = re.search(r"(\w+)\s*:[^:{}]*$", before)
    hints = registry().hints()
    hinted: CafxError | None = hints and hints.explain(
        text, source, line, field[1] if field else "", reason, descriptor
    )
    if hinted:
        return hinted
    kind = UnknownNameError if re.search(r"has no (field|value) ", reason) else CafxError
    what = f"the value of '{field[1]}' " if field else ""
    return kind(f"{what}cannot be read as prototxt: {reason}", where=f"{source}:{line}" if line else source)


def without_runs(text: str) -> str:
    r"""The same text with long runs of escaped backslashes written in octal: protobuf's time for a run is quadratic.

    Example:
        >>> without_runs('"' + 64 * "\\" + 'n"') == '"' + 32 * r"\134" + 'n"'
        True
    """
    return BACKSLASHES.sub(lambda run: r"\134" * (len(run[0]) // 2), text)


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
    for token in re.finditer(r'\n|#[^\n]*|"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?|[{}<>]|\w+', text):
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
