"""Finding plugins: entry points, read once, imported when first needed.

A broken plugin is remembered with its error and hurts only the net that needs it; two
distributions claiming one name are both named, never silently ranked.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

import attrs
from packaging.requirements import Requirement
from packaging.version import Version

from cafx.kernel.errors import CafxError, UnknownNameError, near_misses

API_VERSION = Version("0.1.0")
PREFIX = "cafx."
API_DISTRIBUTION = "cafx-kernel"
PREFER_SETTING = "CAFX_PREFER"

KINDS: Mapping[str, tuple[str, ...]] = {
    "layer": ("cafx.layers", "cafx.losses", "cafx.data"),
    "database": ("cafx.databases",),
    "solver": ("cafx.solvers",),
    "filler": ("cafx.fillers",),
    "policy": ("cafx.policies",),
    "engine": ("cafx.engines",),
    "command": ("cafx.commands",),
    "monitor": ("cafx.monitors",),
    "model": ("cafx.models",),
    "format": ("cafx.formats",),
    "upgrade": ("cafx.upgrades",),
    "role": ("cafx.roles",),
}
DESCRIPTIONS = {"layer": "layer type", "solver": "solver type", "policy": "learning rate policy"}


@attrs.frozen
class Plugin:
    """One entry point: the name it claims, where it points, and who installed it."""

    kind: str
    group: str
    name: str
    value: str
    distribution: str
    version: str
    load: Callable[[], Any] = attrs.field(repr=False, eq=False)
    requires: Callable[[], list[str]] = attrs.field(repr=False, eq=False)


class Registry:
    """Every installed plugin by kind and name.

    Args:
        entry_points: where to look instead of the environment, for tests.
    """

    def __init__(self, entry_points: Iterable[metadata.EntryPoint] | None = None) -> None:
        self._entry_points = entry_points
        self._loaded: dict[Plugin, Any] = {}
        self._errors: dict[Plugin, CafxError] = {}
        self._added: dict[tuple[str, str], Plugin] = {}
        self.generation = 0

    @functools.cached_property
    def _found(self) -> dict[str, list[Plugin]]:
        """Plugins by group."""
        found: dict[str, list[Plugin]] = {}
        for point in installed() if self._entry_points is None else self._entry_points:
            if point.group.startswith(PREFIX):
                plugins = found.setdefault(point.group, [])
                plugin = _plugin(point)
                if plugin not in plugins:
                    plugins.append(plugin)
        return found

    def plugins(self, kind: str) -> list[Plugin]:
        """Every plugin of a kind, by name. Kind ``engine.NAME`` is that engine's routines."""
        found = [plugin for group in _groups(kind) for plugin in self._found.get(group, [])]
        found += [plugin for (of, _), plugin in self._added.items() if of == kind]
        return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))

    def names(self, kind: str) -> list[str]:
        """The names a kind knows."""
        return sorted({plugin.name for plugin in self.plugins(kind)})

    def find(self, kind: str, name: str) -> Plugin:
        """The one plugin of that name; CafxError where there is none, or more than one."""
        added = self._added.get((kind, name))
        claims = [added] if added else [p for p in self.plugins(kind) if p.name == name]
        if not claims:
            raise self._unknown(kind, name)
        if len(claims) > 1:
            claims = [p for p in claims if p.distribution == _preferred(name)] or claims
        if len(claims) > 1:
            owners = " and ".join(p.distribution for p in claims)
            raise CafxError(
                f"{DESCRIPTIONS.get(kind, kind)} '{name}' is claimed by two distributions: {owners}",
                remedy=f"uninstall one, or set {PREFER_SETTING}={name}={claims[0].distribution}",
            )
        return claims[0]

    def load(self, kind: str, name: str) -> Any:
        """Import and return what ``name`` points to; CafxError with the cause where it fails."""
        return self.load_plugin(self.find(kind, name))

    def load_plugin(self, plugin: Plugin) -> Any:
        """Import one plugin; a failure is remembered and raised each time."""
        if plugin in self._errors:
            raise copy.copy(self._errors[plugin])  # the copy may be told where it is met
        if plugin not in self._loaded:
            try:
                _check_version(plugin)
                self._loaded[plugin] = plugin.load()
            except CafxError as error:
                self._errors[plugin] = copy.copy(error)
                raise
            except Exception as error:  # a stranger's module may raise anything at import
                self._errors[plugin] = CafxError(
                    f"plugin '{plugin.name}' of {plugin.distribution} {plugin.version} "
                    f"cannot be imported: {type(error).__name__}: {error}",
                    remedy=f"reinstall or remove it: pip uninstall {plugin.distribution}",
                )
                raise copy.copy(self._errors[plugin]) from error
        return self._loaded[plugin]

    def error(self, plugin: Plugin) -> CafxError | None:
        """Why a plugin cannot be used, or None; imports it to find out."""
        try:
            self.load_plugin(plugin)
        except CafxError as error:
            return error
        return None

    def usable(self, *kinds: str) -> list[tuple[Plugin, Any]]:
        """Every plugin of these kinds that can be imported, with what it points to."""
        every = [plugin for kind in kinds for plugin in self.plugins(kind)]
        return [(p, self._loaded[p]) for p in every if self.error(p) is None]

    def add(self, kind: str, name: str, thing: Any) -> Any:
        """Register something of this process, as a net.py does with a layer of its own."""
        value = f"{thing.__module__}:{getattr(thing, '__qualname__', name)}"
        plugin = Plugin(kind, _groups(kind)[0], name, value, "this process", "0", lambda: thing, list)
        self._added[kind, name] = plugin
        self._loaded[plugin] = thing
        self.generation += 1
        return thing

    def remove(self, kind: str, name: str) -> None:
        """Take back an `add`."""
        del self._loaded[self._added.pop((kind, name))]
        self.generation += 1

    def _unknown(self, kind: str, name: str) -> UnknownNameError:
        close = near_misses(name, self.names(kind))
        similar = f" (similar: {', '.join(map(repr, close))})" if close else ""
        return UnknownNameError(
            f"unknown {DESCRIPTIONS.get(kind, kind)} '{name}': no installed plugin provides it",
            remedy=f"try 'pip install {likely_distribution(kind, name)}'{similar}",
        )


def likely_distribution(kind: str, name: str) -> str:
    """The name a first-party distribution would have: ``cafx-layer-foo`` for layer type Foo."""
    short = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "name"
    folder = kind
    if kind == "layer":
        folder = next((k for k in ("loss", "data") if short.endswith(k) and short != k), "layer")
    return f"cafx-{folder}-{short}"


_current: contextvars.ContextVar[Registry | None] = contextvars.ContextVar("registry", default=None)


def registry() -> Registry:
    """The registry in use: this environment's, but for a `using_registry` block."""
    return _current.get() or _environment()


@functools.cache
def _environment() -> Registry:
    return Registry()


@contextlib.contextmanager
def using_registry(plugins: Registry) -> Iterator[None]:
    """Let everything that is not told where to find plugins look in ``plugins``."""
    token = _current.set(plugins)
    try:
        yield
    finally:
        _current.reset(token)


def _groups(kind: str) -> tuple[str, ...]:
    """The entry-point groups of a kind; ``engine.NAME`` is that engine's routines."""
    return KINDS.get(kind) or (f"{PREFIX}{kind.replace('engine', 'engines', 1)}",)


def installed() -> Iterable[metadata.EntryPoint]:
    """Every entry point of the environment whose group is ours."""
    points = metadata.entry_points()
    return [p for group in points.groups if group.startswith(PREFIX) for p in points.select(group=group)]


def _plugin(point: metadata.EntryPoint) -> Plugin:
    group = point.group
    kind = next((k for k, groups in KINDS.items() if group in groups), None)
    distribution = point.dist
    name = distribution.name if distribution else "an unnamed distribution"
    version = distribution.version if distribution else "0"
    return Plugin(
        kind or group.removeprefix("cafx.").replace("engines", "engine", 1),
        group,
        point.name,
        point.value,
        name,
        version,
        point.load,
        lambda: (distribution.requires if distribution else None) or [],
    )


def _check_version(plugin: Plugin) -> None:
    for requirement in map(Requirement, plugin.requires()):
        if requirement.name == API_DISTRIBUTION and API_VERSION not in requirement.specifier:
            raise CafxError(
                f"plugin '{plugin.name}' of {plugin.distribution} {plugin.version} was built for another plugin API",
                found=f"{API_DISTRIBUTION} {API_VERSION}",
                expected=f"{requirement.name}{requirement.specifier}",
                remedy=f"pip install --upgrade {plugin.distribution}",
            )


def _preferred(name: str) -> str | None:
    """The distribution a person chose for a doubly claimed name: ``CAFX_PREFER=Foo=dist,...``."""
    pairs = [pair.split("=", 1) for pair in os.environ.get(PREFER_SETTING, "").split(",") if pair]
    return dict(pair for pair in pairs if len(pair) == 2).get(name)
