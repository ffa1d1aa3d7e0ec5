"""Finding the brace that is missing or surplus in a prototxt, by its indentation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from cafx.kernel.errors import CafxError

TOKEN = re.compile(r'\n|#[^\n]*|"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])*\'?|[{}<>]|\w+|[^\s\w]')
"""A text may lack its closing quote: each is then passed once, not again from every quote in it."""
INDENT = re.compile(r"[^\S\n]*")
LAYERS = ("layer", "layers")
QUOTES = ("'", '"')


@attrs.frozen
class Token:
    """A word, text or brace of a prototxt.

    Attributes:
        text: the token.
        line: its line, counted from 1.
        indent: the indentation of that line.
        leads: whether it is the first token of its line.
    """

    text: str
    line: int
    indent: int
    leads: bool


@attrs.define
class Block:
    """A message whose brace is open.

    Attributes:
        field: the field that it is the value of.
        start: the first token of the field.
        name: the value of its field ``name``, if that has been read.
        indent: the indentation of its first line inside; -1 until that has been read.
    """

    field: str
    start: Token
    name: str = ""
    indent: int = -1


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a prototxt, without comments."""
    line, leads, begin, indent = 1, True, 0, 0
    for match in TOKEN.finditer(text):
        word = match[0]
        if word == "\n":
            line, leads, begin = line + 1, True, match.end()
        elif not word.startswith("#"):
            if leads:
                indent = len(INDENT.match(text, begin)[0].expandtabs(4))  # type: ignore[index]  # matches always
            yield Token(word, line, indent, leads)
            leads = False


def misplaced_brace(text: str, source: str) -> CafxError | None:
    """The error for a brace that is missing or surplus, at the place where the indentation gives it away.

    Args:
        text: the prototxt.
        source: its name.

    Returns:
        None if every brace has its counterpart and no layer begins inside another.

    Example:
        >>> print(misplaced_brace('layer {\\n  name: "c"\\nlayer {\\n  name: "d"\\n}\\n', "net.prototxt"))
        net.prototxt:1: layer 'c' at line 1 seems not closed: expected a } before line 3
    """
    blocks: list[Block] = []
    unclosed: CafxError | None = None
    surplus: CafxError | None = None
    field = token = Token("", 0, 0, False)
    for token in tokens(text):
        if blocks and token.leads and token.line > blocks[-1].start.line and token.text != "{":
            unclosed = unclosed or _too_far_out(blocks, token, source)
            surplus = _too_far_in(blocks, token, source) or surplus
        if token.text == "{":
            if _nests(blocks, field.text):
                return unclosed or _unclosed(blocks, token.line, source)
            blocks.append(Block(field.text, field))
        elif token.text == "}":
            if not blocks:
                return surplus or _surplus(token, source)
            blocks.pop()
            unclosed = unclosed if blocks else None
        elif token.text[0] in QUOTES and field.text == "name" and blocks and not blocks[-1].name:
            blocks[-1].name = token.text[1:-1]
        if re.match(r"\w", token.text):
            field = token
    return unclosed or _unclosed(blocks, token.line + 1, source) if blocks else None


def _nests(blocks: list[Block], field: str) -> bool:
    """Whether a layer begins inside a layer; in Caffe's first format, ``layers`` hold a ``layer``."""
    if field not in LAYERS:
        return False
    first_format = len(blocks) == 1 and blocks[0].field == "layers" and field == "layer"
    return not first_format and any(block.field in LAYERS for block in blocks)


def _too_far_out(blocks: list[Block], token: Token, source: str) -> CafxError | None:
    """The first token of a line is further out than the block it is in."""
    block, outer = blocks[-1], blocks[-1].start.indent
    if token.text == "}":
        return _unclosed(blocks, token.line, source) if token.indent < outer else None
    block.indent = token.indent if block.indent < 0 else block.indent
    return _unclosed(blocks, token.line, source) if token.indent <= outer < block.indent else None


def _too_far_in(blocks: list[Block], token: Token, source: str) -> CafxError | None:
    """A brace closes an outermost block although it is indented."""
    return _surplus(token, source) if token.text == "}" and len(blocks) == 1 and token.indent else None


def _unclosed(blocks: list[Block], line: int, source: str) -> CafxError:
    block = blocks[-1]
    names = [f"{each.field} '{each.name}'" if each.name else each.field for each in (block, *blocks[:1])]
    title = names[0] if len(blocks) == 1 else " of ".join(names)
    line_of = block.start.line
    message = f"{title} at line {line_of} seems not closed"
    return CafxError(message, where=f"{source}:{line_of}", expected=f"a }} before line {line}")


def _surplus(token: Token, source: str) -> CafxError:
    return CafxError("this } seems to be one too many", where=f"{source}:{token.line}", remedy="remove it")
