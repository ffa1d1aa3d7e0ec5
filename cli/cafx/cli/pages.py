"""A plugin's description as a Markdown page, and the catalogue of all layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cafx.cli.docstrings import to_markdown
from cafx.cli.inventory import describe, usable_layers
from cafx.kernel import registry
from cafx.kernel.files import atomic_write
from cafx.kernel.registry import Plugin

KINDS = {"data": "Data", "layer": "Layers", "loss": "Losses"}


def page(description: Mapping[str, Any]) -> str:
    """A plugin's description, as `cafx.cli.inventory.describe` returns it, as Markdown."""
    return "\n\n".join(filter(None, sections(description).values())) + "\n"


def sections(description: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a plugin's page by name, in order; those that do not apply are empty.

    Args:
        description: what `cafx.cli.inventory.describe` returns.
    """
    parts = {
        "title": f"# {description['name']}",
        "origin": f"{description['kind']} of {description['distribution']} {description['version']}",
        "doc": to_markdown(description["doc"]),
        "arities": "",
        "options": "\n\n".join(options_table(message) for message in description["messages"]),
    }
    if "bottoms" in description:
        parts["arities"] = f"Bottoms: {description['bottoms']}. Tops: {description['tops']}."
    if "additions" in description:
        parts["additions"] = _additions(description["fork"], description["additions"])
    if "facts" in description:
        facts = [f"- {name.replace('_', ' ')}: {_fact_text(value)}" for name, value in description["facts"].items()]
        parts["properties"] = "## Properties\n\n" + "\n".join(facts)
        parts["example"] = f"## Example\n\n{_code(description['dsl'], 'python')}\n\n{_code(description['prototxt'])}"
    if description.get("source"):
        source = _code(description["source"].rstrip(), "python")
        parts["source"] = f"## Source\n\n`{description['module']}`\n\n{source}"
    return parts


def write_catalogue(folder: str) -> list[Path]:
    """Write one page per layer to ``folder/KIND/``, and ``folder/index.md`` with links by kind.

    Returns:
        The paths of all pages.
    """
    root = Path(folder)
    written: list[Path] = []
    index: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for plugin, layer in usable_layers():
        description = describe(plugin, layer)
        if description["error"]:
            continue
        path = root / description["kind"] / f"{file_name(plugin)}.md"
        _write(path, page(description))
        written.append(path)
        link = f"[{description['name']}]({description['kind']}/{path.name})"
        index[description["kind"]].append(f"- {link}: {description['summary']}")
    lists = [f"## {KINDS[kind]}\n\n" + "\n".join(rows) for kind, rows in index.items() if rows]
    _write(root / "index.md", "# Layer catalogue\n\n" + "\n\n".join(lists) + "\n")
    return [*written, root / "index.md"]


def file_name(plugin: Plugin) -> str:
    """The name of a plugin's page, without suffix: its own in lower case.

    Of plugins whose names differ by case only, those that are not named like their distribution are called as it is.
    """
    name = plugin.name.lower()
    alike = {each.name for each in registry().plugins(plugin.kind) if each.name.lower() == name}
    clashes = len(alike) > 1 and not plugin.distribution.endswith(f"-{name}")
    return plugin.distribution.removeprefix("cafx-").partition("-")[2] if clashes else name


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text.encode())


def _code(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```"


def options_table(message: Mapping[str, Any]) -> str:
    """A message as a section with a table of its options.

    Args:
        message: what `cafx.cli.inventory.describe_message` returns.
    """
    head = message["field"] or message["name"]
    number = f" = {message['number']}" if message["number"] else ""
    rows = [_row(option) for option in message["options"]]
    table = "\n".join(["| option | type | default | description |", "| --- | --- | --- | --- |", *rows])
    return f"## Options: `{head}`{number}\n\n{message['doc']}\n\n{table}"


def _additions(fork: str, additions: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"| `{each['target']}` {_row(each)} {_cell(each['effect'])} |"
        for each in sorted(additions, key=lambda each: (each["target"], each["number"]))
    ]
    head = "| message or enum | name | type | default | description | effect |\n| --- | --- | --- | --- | --- | --- |"
    return f"## Fields and values of {fork}\n\n" + "\n".join([head, *rows])


def _row(option: Mapping[str, Any]) -> str:
    cells = [f"`{option['name']}`", option["type"], _default_text(option["default"]), option["doc"]]
    return f"| {' | '.join(map(_cell, cells))} |"


def _default_text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _fact_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
