"""Docstrings in Google's style as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

INDENT = "    "
HEADING = re.compile(r"[A-Z][A-Za-z ]*:")
ENTRY = re.compile(r"(?P<name>[*\w.]+(?:, [*\w.]+)*)(?: \([^)]*\))?: (?P<text>.*)")
STATED = r"(?:Bottom|Top|Parameter|Gradient)s?(?: with batch statistics)?|History(?: and options)?|Options|Source"
STATEMENT = re.compile(rf"(?P<label>{STATED}): (?P<text>.*)")
NEXT_STATEMENT = re.compile(rf"(?<=[.;]) (?=(?:{STATED}): )")
STATED_MARK = "*"
"""Marks the items of statements, so that they do not continue the list of a section."""
PARAGRAPH = re.compile(r"\n{2,}(?!\s)")


def to_markdown(doc: str) -> str:
    """A docstring as Markdown.

    The entries of ``Args:``, ``Raises:`` and the like become a list, as do statements such as ``Bottom: any shape.``;
    examples become blocks of Python.

    Args:
        doc: the docstring, without indentation.

    >>> print(to_markdown("Twice x.\\n\\nBottom: any. Top: the same.\\n\\nArgs:\\n    factor: a\\n        number."))
    Twice x.
    <BLANKLINE>
    * **Bottom**: any.
    * **Top**: the same.
    <BLANKLINE>
    Args:
    <BLANKLINE>
    - `factor`: a
      number.
    """
    return "\n\n".join(_paragraph(each) for each in PARAGRAPH.split(doc.strip()) if each.strip())


def _paragraph(text: str) -> str:
    if text.lstrip().startswith(">>> "):
        return f"```python\n{text}\n```"
    heading, _, rest = text.partition("\n")
    if HEADING.fullmatch(heading) and rest.startswith(INDENT):
        return f"{heading}\n\n{_section(_dedented(rest))}"
    return "\n".join(_statements(text))


def _section(text: str) -> str:
    """The contents of a section: an example, or entries with their continuations."""
    if text.lstrip().startswith(">>> "):
        return f"```python\n{text}\n```"
    lines = [line if line.startswith(" ") else _entry(line) for line in text.splitlines()]
    return "\n".join(f"  {line.strip()}" if line.startswith(" ") else line for line in lines)


def _entry(line: str) -> str:
    match = ENTRY.fullmatch(line)
    return f"- `{match['name']}`: {match['text']}" if match else f"- {line}"


def _statements(text: str) -> Iterator[str]:
    """The lines of a paragraph, where each statement is an item of a list."""
    lines = [line for each in text.splitlines() for line in NEXT_STATEMENT.split(each)]
    inside = False
    for line in lines:
        if match := STATEMENT.fullmatch(line):
            yield from [] if inside or line is lines[0] else [""]
            yield f"{STATED_MARK} **{match['label']}**: {match['text']}"
            inside = True
        else:
            yield f"  {line.strip()}" if inside else line


def _dedented(text: str) -> str:
    return "\n".join(line.removeprefix(INDENT) for line in text.splitlines())
