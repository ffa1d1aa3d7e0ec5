"""Writing the catalogue's pages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cafx.cli.inventory import describe, describe_message, summary_of
from cafx.cli.pages import file_name, options_table, sections
from cafx.kernel import registry
from cafx.kernel.registry import KINDS as REGISTRY
from cafx.kernel.registry import Plugin
from cafx.kernel.schema import CORE_MESSAGES, Message, complete, schema
from cafx_docs.catalogue import layers, plots
from cafx_docs.catalogue.commands import command_page, commands
from cafx_docs.catalogue.files import Written
from cafx_docs.catalogue.kinds import KINDS, LAYERS, Kind, page_name
from cafx_docs.catalogue.uses import use_section

INTRO = """# Catalogue

What is installed, by kind. These pages are generated from the plugins themselves; `cafx plugins` prints the same.
A plugin of one's own appears here too: install it and build the pages again.
"""
LINE = "\n"
CORE = {message.__name__ for message in CORE_MESSAGES}
REGISTRY_KINDS = {group: kind for kind, groups in REGISTRY.items() for group in groups}
Drawing = Callable[[Plugin, Any], "plots.Picture | None"]
DRAWINGS: dict[str, Drawing] = {
    "cafx.policies": lambda plugin, _: plots.rates(plugin.name),
    "cafx.fillers": lambda plugin, _: plots.initial_values(plugin.name),
    **dict.fromkeys(LAYERS, lambda plugin, layer: plots.activation(plugin.name, layer)),
}


def write_catalogue(folder: Path, only: Collection[str] = ()) -> None:
    """Write the catalogue: an index, a list per kind, a page per plugin, the messages.

    Args:
        folder: folder of the catalogue; files in it that are not part of the catalogue are removed.
        only: the plugins' pages to write, such as ``layers/relu``; all if empty.

    Raises:
        CafxError: an example does not parse.
    """
    written = Written(folder)
    counts = {}
    for kind in KINDS:
        rows = list(_commands(written, only) if kind.group == "cafx.commands" else _plugins(written, kind, only))
        written.write(f"{kind.folder}/index.md", _list(kind, rows))
        counts[kind] = len(rows)
    written.write("messages.md", _messages())
    written.write("index.md", _index(counts))
    written.remove_others()


Row = tuple[str, str, str, str]
"""A line of a list: page (empty if there is none), name, description, distribution."""


def _plugins(written: Written, kind: Kind, only: Collection[str]) -> Iterator[Row]:
    """Write the pages of one kind."""
    for plugin in _of_kind(kind):
        page = page_name(plugin)
        if only and page not in only:
            continue
        error = registry().error(plugin)
        if error:
            yield "", plugin.name, f"cannot be loaded: {error}", plugin.distribution
            continue
        target = registry().load_plugin(plugin)
        written.write(f"{page}.md", plugin_page(plugin, target, written))
        yield page.partition("/")[2], plugin.name, summary_of(target), plugin.distribution


def _of_kind(kind: Kind) -> list[Plugin]:
    """The usable claims of a kind's names, those of several distributions once."""
    named = {plugin.name: plugin for plugin in reversed(registry().plugins(REGISTRY_KINDS[kind.group]))}
    return [plugin for _, plugin in sorted(named.items()) if plugin.group == kind.group]


def plugin_page(plugin: Plugin, target: Any, written: Written) -> str:
    """The page of one plugin: its own description and what the registry adds.

    Args:
        plugin: the plugin.
        target: the class or function that it names.
        written: where its picture is written.
    """
    parts = sections(describe(plugin, target))
    source = parts.pop("source", "")
    title, origin = parts.pop("title"), parts.pop("origin")
    parts["use"] = use_section(plugin)
    parts["picture"] = ""
    if plugin.group in LAYERS:
        layers.check_example(describe(plugin, target)["prototxt"])
        parts["engines"] = layers.engines_section(plugin.name)
        parts["onnx"] = layers.onnx_section(plugin.name)
        parts["caffe"] = layers.caffe_section(plugin.name)
    picture = _picture(plugin, target, written)
    ordered = [title, origin, parts.pop("doc"), picture, *parts.values(), _folded(source)]
    return "\n\n".join(filter(None, ordered)) + "\n"


def _picture(plugin: Plugin, target: Any, written: Written) -> str:
    draw = DRAWINGS.get(plugin.group)
    picture = draw(plugin, target) if draw else None
    if picture is None:
        return ""
    written.write(f"{page_name(plugin)}.svg", picture.svg)
    return f"![{picture.alt}]({file_name(plugin)}.svg){{.plot}}"


def _folded(source: str) -> str:
    """The section with the source code, closed until it is clicked."""
    return source.replace("## Source\n\n", "## Source\n\n````{dropdown} ", 1) + "\n````" if source else ""


def _commands(written: Written, only: Collection[str]) -> Iterator[Row]:
    """Write the pages of the commands."""
    owners = {plugin.name: plugin.distribution for plugin in registry().plugins("command")}
    for name, command, context in commands():
        if only and f"commands/{name}" not in only:
            continue
        written.write(f"commands/{name}.md", command_page(command, context))
        yield name, f"cafx {name}", summary_of(command), owners.get(name, "cafx-cli")


def _list(kind: Kind, rows: Sequence[Row]) -> str:
    lines = [f"| {_link(page, name)} | {_cell(text)} | {owner} |" for page, name, text, owner in rows]
    table = "\n".join(["| name | description | distribution |", "| --- | --- | --- |", *lines]) if lines else "None."
    pages = "\n".join(page for page, *_ in rows if page)
    return f"# {kind.title}\n\n{kind.intro}\n\n{table}\n\n{_toctree(pages)}"


def _index(counts: Mapping[Kind, int]) -> str:
    rows = [f"- [{kind.title}]({kind.folder}/index.md) ({count}): {kind.intro}" for kind, count in counts.items()]
    rows.append("- [Messages](messages.md): options of nets and solvers, and messages that several plugins share")
    pages = "\n".join([*(f"{kind.folder}/index" for kind in KINDS), "messages"])
    return f"{INTRO}\n" + "\n".join(rows) + f"\n\n{_toctree(pages)}"


def _messages() -> str:
    """The page of the messages that are not one plugin's."""
    described = [describe_message(each) for each in shared_messages()]
    parts = [f"## `{each['name']}`\n{options_table(each).partition(LINE)[2]}" for each in described]
    return "# Messages\n\n" + "\n\n".join(parts) + "\n"


def shared_messages() -> list[type[Message]]:
    """The messages of Caffe's that are not one layer's options, with the fields of installed dialects."""
    declarations = schema().declarations
    return [complete(each) for name, each in sorted(declarations.items()) if each.__extends__ is None or name in CORE]


def _link(page: str, name: str) -> str:
    return f"[{name}]({page}.md)" if page else name


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _toctree(pages: str) -> str:
    return f"```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
