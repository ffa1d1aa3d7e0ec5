"""The YAML between two lines of ``---`` at the top of a readme, read as untrusted input.

Of YAML, plain data are accepted: no tags, which may create objects; no anchors, aliases and merge keys, by which a
short text becomes a huge value; no deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

MAX_FRONT = 256 << 10
"""Characters of front matter that are read."""
MAX_VALUES = 20_000
MAX_DEPTH = 20
MAX_DIGITS = 200
"""Characters of a number; a digest may look like one."""
NUMBER = re.compile(r"[-+0-9.][0-9a-fA-FxX_.:+-]*\Z")
WIDTH = 110
FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


class Malformed(Exception):
    """The text has no front matter that can be read."""


def split(text: str) -> tuple[str, str]:
    """The front matter and the body of a readme; without front matter, "" and the whole text.

    Example:
        >>> split("---\\nname: LeNet\\n---\\n# LeNet\\n")
        ('name: LeNet\\n', '# LeNet\\n')
    """
    found = FRONT.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)


def load(front: str) -> dict[str, Any]:
    """The table that front matter describes.

    Args:
        front: the YAML.

    Raises:
        Malformed: it is no table of plain data, or too large.

    Example:
        >>> load("name: LeNet\\ntags: [caffe, digits]")
        {'name': 'LeNet', 'tags': ['caffe', 'digits']}
    """
    if len(front) > MAX_FRONT:
        raise Malformed(f"its front matter has {len(front):,} characters, the most are {MAX_FRONT:,}")
    try:
        table = yaml.load(front, Loader=_PlainLoader)  # nosec B506  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1} of the front matter: " if error.problem_mark else ""
        raise Malformed(f"{line}{error.problem or error.context or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise Malformed(f"its front matter is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(table, dict) or not all(isinstance(key, str) for key in table):
        raise Malformed("its front matter is not a table")
    return table


def dump(table: Mapping[str, Any]) -> str:
    """YAML that `load` reads.

    Args:
        table: plain data.

    Example:
        >>> dump({"sha256": "12", "tags": ["a"]})
        "sha256: '12'\\ntags:\\n- a\\n"
    """
    text: str = yaml.dump(dict(table), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=WIDTH)
    return text


class _PlainLoader(yaml.SafeLoader):
    """Makes plain data only; dates stay texts."""

    depth = count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As in PyYAML, for an event that has been checked."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Malformed("its front matter has an anchor or alias ('&', '*'); write the value out")
        if getattr(event, "tag", None) is not None:
            raise Malformed(f"its front matter has the tag {str(event.tag)[:40]!r}; only plain data are read")
        if isinstance(event, yaml.ScalarEvent) and NUMBER.match(event.value) and len(event.value) > MAX_DIGITS:
            raise Malformed(f"its front matter has a number of {len(event.value):,} digits")
        self.count += 1
        if self.depth > MAX_DEPTH or self.count > MAX_VALUES:
            raise Malformed("its front matter is too deep or has too many values")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _PlainDumper(yaml.SafeDumper):
    """Writes a value each time it occurs."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
