"""What is installed, as plain values: every plugin, and all there is to say about one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

from cafx.cli.examples import dsl_example, prototxt_example
from cafx.kernel import CafxError, Layer, UnknownNameError, registry
from cafx.kernel.errors import did_you_mean
from cafx.kernel.net import arity_text
from cafx.kernel.registry import KINDS, Plugin
from cafx.kernel.schema import Message, Option, declared_by, schema, scoped_name

FACTS = (
    "in_place", "is_loss", "automatic_tops", "is_input", "learnable", "integer_bottoms",
    "forward_only", "deterministic", "dynamic_shape", "keeps_state",
)  # fmt: skip


def every_plugin(kind: str | None = None) -> list[Plugin]:
    """All plugins, engines' routines included, or those of one kind."""
    kinds = [*KINDS, *(f"engine.{name}" for name in registry().names("engine"))]
    if kind is not None and kind not in kinds:
        raise UnknownNameError(
            f"unknown kind '{kind}'", expected="one of " + ", ".join(kinds), remedy=did_you_mean(kind, kinds)
        )
    return [plugin for each in ([kind] if kind else kinds) for plugin in registry().plugins(each)]


def inventory(kind: str | None = None) -> list[dict[str, Any]]:
    """One row a plugin: kind, name, distribution, version, summary, and its error or a clash."""
    return [_row(plugin) for plugin in every_plugin(kind)]


def find(name: str) -> dict[str, Any]:
    """All about the plugin called ``name``; CafxError with near misses where there is none."""
    plugins = every_plugin()
    exact = [plugin for plugin in plugins if plugin.name == name]
    found = exact or [plugin for plugin in plugins if plugin.name.lower() == name.lower()]
    found = found or [plugin for plugin in plugins if plugin.distribution == name]
    if not found:
        close = did_you_mean(name, {plugin.name for plugin in plugins})
        raise UnknownNameError(f"no installed plugin is called '{name}'", remedy=close or "see 'cafx plugins list'")
    plugin = min(found, key=lambda each: list(KINDS).index(each.kind) if each.kind in KINDS else len(KINDS))
    registry().find(plugin.kind, plugin.name)
    return describe(plugin, registry().load_plugin(plugin))


def describe(plugin: Plugin, thing: Any) -> dict[str, Any]:
    """A plugin's row, docstring, options and, for a layer, arities, facts, examples and source."""
    described = _row(plugin)
    described["doc"] = inspect.getdoc(thing) or ""
    described["module"] = plugin.value
    described["messages"] = [_message(each) for each in declared_by(thing)]
    if isinstance(thing, type) and issubclass(thing, Layer):
        described["bottoms"] = arity_text(thing.bottoms)
        described["tops"] = arity_text(thing.tops)
        described["facts"] = {name: getattr(thing, name) for name in FACTS}
        described["prototxt"] = prototxt_example(plugin.name, thing)
        described["dsl"] = dsl_example(plugin.name, thing)
        described["source"] = _source(thing)
    return described


def _row(plugin: Plugin) -> dict[str, Any]:
    error = registry().error(plugin)
    thing = None if error else registry().load_plugin(plugin)
    kind = plugin.group.removeprefix("cafx.")
    error = error or _clash(plugin, thing)
    return {
        "kind": {"losses": "loss", "data": "data"}.get(kind, plugin.kind),
        "name": plugin.name, "distribution": plugin.distribution, "version": plugin.version,
        "summary": summary_of(thing) if thing is not None else "",
        "error": str(error) if error else None,
    }  # fmt: skip


def _clash(plugin: Plugin, thing: Any) -> CafxError | None:
    """The error for a name, or a field of the schema, that another distribution claims too."""
    try:
        registry().find(plugin.kind, plugin.name)
    except CafxError as clash:
        return clash
    clashes = schema().clashes
    named = [each.__extends__.field if each.__extends__ else scoped_name(each) for each in declared_by(thing)]
    return next((clashes[name] for name in named if name in clashes), None)


def summary_of(thing: Any) -> str:
    """The first sentence of a docstring, or a command's short help."""
    help_of = getattr(thing, "get_short_help_str", None)
    if help_of is not None and not isinstance(thing, type):
        return str(help_of(limit=100))
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split()).replace("``", "")
    return re.split(r"(?<=[.;]) ", text, maxsplit=1)[0].rstrip(";")


def _source(layer: type[Layer]) -> str:
    """The layer's code; empty where it was made without a file."""
    try:
        return inspect.getsource(layer)
    except (OSError, TypeError):
        return ""


def _message(declared: type[Message]) -> dict[str, Any]:
    hung = declared.__extends__
    return {
        "name": scoped_name(declared),
        "field": hung.field if hung else None,
        "number": hung.number if hung else None,
        "doc": inspect.getdoc(declared) or "",
        "options": [_option(each) for each in declared.__options__.values()],
    }


def _option(declared: Option) -> dict[str, Any]:
    kind = declared.kind_name
    if declared.is_enum:
        kind = " | ".join(member.name for member in declared.kind)
    return {
        "name": declared.name, "number": declared.number, "doc": declared.doc,
        "type": f"list of {kind}" if declared.repeated else kind, "default": _default(declared),
    }  # fmt: skip


def _default(declared: Option) -> Any:
    if declared.label == "required":
        return "required"
    return declared.default.name if declared.is_enum and declared.default is not None else declared.default


def usable_layers() -> Iterable[tuple[Plugin, type[Layer]]]:
    """Every layer that can be imported."""
    found: list[tuple[Plugin, type[Layer]]] = registry().usable("layer")
    return found
