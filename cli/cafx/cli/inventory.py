"""Installed plugins as plain values: a list of all, and the full description of one."""

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
from cafx.kernel.schema import Addition, Dialect, Message, Option, complete, declared_by, schema, scoped_name

FACTS = (
    "in_place",
    "is_loss",
    "automatic_tops",
    "is_input",
    "learnable",
    "integer_bottoms",
    "forward_only",
    "deterministic",
    "dynamic_shape",
    "keeps_state",
)
"""Attributes of a layer class that its description lists."""


def every_plugin(kind: str | None = None) -> list[Plugin]:
    """Installed plugins, engines' routines included.

    Args:
        kind: only this kind; None for all.

    Raises:
        UnknownNameError: no such kind.
    """
    kinds = [*KINDS, *(f"engine.{name}" for name in registry().names("engine"))]
    if kind is not None and kind not in kinds:
        raise UnknownNameError(
            f"unknown kind '{kind}'", expected="one of " + ", ".join(kinds), remedy=did_you_mean(kind, kinds)
        )
    return [plugin for each in ([kind] if kind else kinds) for plugin in registry().plugins(each)]


def inventory(kind: str | None = None) -> list[dict[str, Any]]:
    """One row per plugin: kind, name, distribution, version, summary, and its error or conflict."""
    return [_row(plugin) for plugin in every_plugin(kind)]


def find(name: str) -> dict[str, Any]:
    """The description of a plugin.

    Args:
        name: the plugin's name, in any case, or its distribution.

    Raises:
        UnknownNameError: no such plugin; it suggests similar names.
    """
    plugins = every_plugin()
    exact = [plugin for plugin in plugins if plugin.name == name]
    matches = exact or [plugin for plugin in plugins if plugin.name.lower() == name.lower()]
    matches = matches or [plugin for plugin in plugins if plugin.distribution == name]
    if not matches:
        close = did_you_mean(name, {plugin.name for plugin in plugins})
        raise UnknownNameError(f"no installed plugin is named '{name}'", remedy=close or "see 'cafx plugins list'")
    plugin = min(matches, key=lambda each: list(KINDS).index(each.kind) if each.kind in KINDS else len(KINDS))
    registry().find(plugin.kind, plugin.name)
    return describe(plugin, registry().load_plugin(plugin))


def describe(plugin: Plugin, target: Any) -> dict[str, Any]:
    """A plugin's row, docstring, options and, for a layer, arities, properties, examples and source."""
    described = _row(plugin)
    described["doc"] = inspect.getdoc(target) or ""
    described["module"] = plugin.value
    described["messages"] = [describe_message(complete(each)) for each in _messages_of(target)]
    if _is_dialect(target):
        described["fork"] = target.fork
        described["additions"] = [_addition(each) for each in target.additions(plugin.name, plugin.distribution)]
    if isinstance(target, type) and issubclass(target, Layer):
        described["bottoms"] = arity_text(target.bottoms)
        described["tops"] = arity_text(target.tops)
        described["facts"] = {name: getattr(target, name) for name in FACTS}
        described["prototxt"] = prototxt_example(plugin.name, target)
        described["dsl"] = dsl_example(plugin.name, target)
        described["source"] = _source(target)
    return described


def _row(plugin: Plugin) -> dict[str, Any]:
    error = registry().error(plugin)
    target = None if error else registry().load_plugin(plugin)
    kind = plugin.group.removeprefix("cafx.")
    error = error or _conflict(plugin, target)
    return {
        "kind": {"losses": "loss", "data": "data"}.get(kind, plugin.kind),
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "summary": summary_of(target) if target is not None else "",
        "error": str(error) if error else None,
    }


def _conflict(plugin: Plugin, target: Any) -> CafxError | None:
    """The error for a name or schema field that two distributions claim."""
    try:
        registry().find(plugin.kind, plugin.name)
    except CafxError as error:
        return error
    clashes = schema().clashes
    names = [each.__extends__.field if each.__extends__ else scoped_name(each) for each in _messages_of(target)]
    return next((clashes[name] for name in names if name in clashes), None)


def _messages_of(target: Any) -> list[type[Message]]:
    """The messages that a plugin declares; none for a dialect, which adds to those of others."""
    return [] if _is_dialect(target) else declared_by(target)


def _is_dialect(target: Any) -> bool:
    return isinstance(target, type) and issubclass(target, Dialect)


def summary_of(target: Any) -> str:
    """The first sentence of a docstring, or the short help of a command."""
    help_of = getattr(target, "get_short_help_str", None)
    if help_of is not None and not isinstance(target, type):
        return str(help_of(limit=100))
    text = " ".join((inspect.getdoc(target) or "").split("\n\n")[0].split()).replace("``", "")
    return re.split(r"(?<=[.;]) ", text, maxsplit=1)[0].rstrip(";")


def _source(layer: type[Layer]) -> str:
    """A layer's source code; empty if it was not defined in a file."""
    try:
        return inspect.getsource(layer)
    except (OSError, TypeError):
        return ""


def describe_message(declared: type[Message]) -> dict[str, Any]:
    """A message's name, field, number, documentation and options.

    Args:
        declared: its declaration, dialects' additions included (`cafx.kernel.schema.complete`).
    """
    extension = declared.__extends__
    return {
        "name": scoped_name(declared),
        "field": extension.field if extension else None,
        "number": extension.number if extension else None,
        "doc": inspect.getdoc(declared) or "",
        "options": [_option(each) for each in declared.__options__.values()],
    }


def _option(declared: Option) -> dict[str, Any]:
    kind = declared.kind_name
    if declared.is_enum:
        kind = " | ".join(declared.members)
    return {
        "name": declared.name,
        "number": declared.number,
        "doc": declared.doc,
        "type": f"list of {kind}" if declared.repeated else kind,
        "default": _default(declared),
    }


def _addition(added: Addition) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": added.name,
        "number": added.number,
        "type": "value",
        "default": None,
        "doc": "",
    }
    described |= {} if added.is_value else _option(added.meaning)
    return {**described, "target": added.target, "effect": added.effect.doc}


def _default(declared: Option) -> Any:
    if declared.label == "required":
        return "required"
    return declared.default.name if declared.is_enum and declared.default is not None else declared.default


def usable_layers() -> Iterable[tuple[Plugin, type[Layer]]]:
    """Every layer that can be imported, with its plugin."""
    layers: list[tuple[Plugin, type[Layer]]] = registry().usable("layer")
    return layers
