"""A plugin's description as a Markdown page, and the catalogue of all layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cafx.cli.inventory import describe, usable_layers
from cafx.kernel.net import atomic_write

SECTION = re.compile(r"^((?:Raises|Args|Returns|Attributes|History|Options):)\n((?:    .*\n?)+)", re.MULTILINE)
ENTRY = re.compile(r"^    (?! )", re.MULTILINE)
KINDS = {"data": "Data", "layer": "Layers", "loss": "Losses"}


def page(described: Mapping[str, Any]) -> str:
    """The page of one plugin."""
    parts = [
        f"# {described['name']}",
        f"{described['kind']} of {described['distribution']} {described['version']}",
        _docstring(described["doc"]),
    ]
    if "bottoms" in described:
        parts.append(f"Bottoms: {described['bottoms']}. Tops: {described['tops']}.")
    parts += [_options(message) for message in described["messages"]]
    if "facts" in described:
        facts = [f"{name.replace('_', ' ')}: {_fact(value)}" for name, value in described["facts"].items()]
        parts.append("## Facts\n\n" + "\n".join(f"- {fact}" for fact in facts))
        parts.append(
            "## Example\n\n"
            f"```python\n{described['dsl']}\n```\n\n```\n{described['prototxt']}\n```"
        )  # fmt: skip
    if described.get("source"):
        parts.append(f"## Source\n\n`{described['module']}`\n\n```python\n{described['source'].rstrip()}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def write_catalogue(folder: str) -> list[Path]:
    """A page a layer in ``folder/KIND/``, and ``folder/index.md`` that links them by kind."""
    root = Path(folder)
    written: list[Path] = []
    index: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for plugin, layer in usable_layers():
        described = describe(plugin, layer)
        if described["error"]:
            continue
        path = root / described["kind"] / f"{described['name'].lower()}.md"
        _write(path, page(described))
        written.append(path)
        link = f"[{described['name']}]({described['kind']}/{path.name})"
        index[described["kind"]].append(f"- {link}: {described['summary']}")
    lists = [f"## {KINDS[kind]}\n\n" + "\n".join(rows) for kind, rows in index.items() if rows]
    _write(root / "index.md", "# Layer catalogue\n\n" + "\n\n".join(lists) + "\n")
    return [*written, root / "index.md"]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text.encode())


def _docstring(doc: str) -> str:
    """A docstring as Markdown: what is listed under ``Raises:`` and the like becomes a list."""
    return SECTION.sub(lambda section: f"{section[1]}\n\n{ENTRY.sub('- ', section[2])}", doc)


def _options(message: Mapping[str, Any]) -> str:
    head = message["field"] or message["name"]
    number = f" = {message['number']}" if message["number"] else ""
    rows = [_row(option) for option in message["options"]]
    table = "\n".join(["| option | type | default | what it does |", "| --- | --- | --- | --- |", *rows])
    return f"## Options: `{head}`{number}\n\n{message['doc']}\n\n{table}"


def _row(option: Mapping[str, Any]) -> str:
    cells = [f"`{option['name']}`", option["type"], _plain(option["default"]), option["doc"]]
    return f"| {' | '.join(map(_cell, cells))} |"


def _plain(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _fact(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
