"""Plugin discovery: entry points are read once and imported when first needed.

A plugin that fails to import is recorded with its error; only a net that needs it fails. If two
distributions provide the same name, using it is an error that names both.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

import attrs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean

API_VERSION = Version("0.1.0")
PREFIX = "cafx."
API_DISTRIBUTION = "cafx-kernel"
PREFER_SETTING = "CAFX_PREFER"
HINTS_ROLE = "hints"
HERE = "this process"

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
    "dialect": ("cafx.dialects",),
    "onnx": ("cafx.onnx",),
    "executor": ("cafx.executors",),
    "communicator": ("cafx.communicators",),
    "source": ("cafx.sources",),
}
DESCRIPTIONS = {"layer": "layer type", "solver": "solver type", "policy": "learning rate policy"}


@attrs.frozen
class Plugin:
    """One entry point and the distribution that provides it.

    Attributes:
        kind: what it plugs into: ``layer``, ``engine``, … (see `KINDS`).
        group: entry-point group, e.g. ``cafx.layers``.
        name: the name users write, e.g. ``ReLU``.
        value: the object it refers to, as ``module:attribute``.
        distribution, version: the providing distribution.
        load: imports and returns the object.
        requires: the distribution's requirements.
    """

    kind: str
    group: str
    name: str
    value: str
    distribution: str
    version: str
    load: Callable[[], Any] = attrs.field(repr=False, eq=False)
    requires: Callable[[], list[str]] = attrs.field(repr=False, eq=False)


class Registry:
    """Installed plugins by kind and name.

    Args:
        entry_points: entry points to use instead of the environment's; for tests.

    Attributes:
        generation: incremented by `add` and `remove`, so that caches can be invalidated.

    Example:
        >>> registry().find("layer", "ReLU").distribution
        'cafx-layer-relu'
    """

    def __init__(self, entry_points: Iterable[metadata.EntryPoint] | None = None) -> None:
        self._entry_points = entry_points
        self._loaded: dict[Plugin, Any] = {}
        self._errors: dict[Plugin, CafxError] = {}
        self._added: dict[tuple[str, str], Plugin] = {}
        self.generation = 0

    @functools.cached_property
    def _by_group(self) -> dict[str, dict[Plugin, None]]:
        by_group: dict[str, dict[Plugin, None]] = {}
        for point in installed() if self._entry_points is None else self._entry_points:
            if point.group.startswith(PREFIX):
                by_group.setdefault(point.group, {})[_plugin(point)] = None
        return by_group

    @property
    def is_environment(self) -> bool:
        """Whether it consists of what is installed in this environment and nothing else."""
        return self._entry_points is None and not self._added

    def plugins(self, kind: str) -> list[Plugin]:
        """All plugins of a kind, sorted by name; kind ``engine.NAME`` lists the routines of that engine."""
        plugins = [plugin for group in _groups(kind) for plugin in self._by_group.get(group, [])]
        plugins += [plugin for (added_kind, _), plugin in self._added.items() if added_kind == kind]
        return sorted(plugins, key=lambda plugin: (plugin.name, plugin.distribution))

    def names(self, kind: str) -> list[str]:
        """The names of all plugins of a kind, sorted."""
        return sorted({plugin.name for plugin in self.plugins(kind)})

    def find(self, kind: str, name: str) -> Plugin:
        """The plugin of this kind and name, without importing it.

        A name registered with `add` takes precedence over installed plugins.

        Raises:
            UnknownNameError: no plugin has this name.
            CafxError: several distributions provide it and CAFX_PREFER does not choose one.
        """
        added = self._added.get((kind, name))
        claims = [added] if added else [p for p in self.plugins(kind) if p.name == name]
        if not claims:
            raise self._unknown(kind, name)
        if len(claims) > 1:
            claims = [p for p in claims if p.distribution == _preferred(name)] or claims
        if len(claims) > 1:
            owners = " and ".join(p.distribution for p in claims)
            raise CafxError(
                f"{DESCRIPTIONS.get(kind, kind)} '{name}' is provided by several distributions: {owners}",
                remedy=f"uninstall one, or set {PREFER_SETTING}={name}={claims[0].distribution}",
            )
        return claims[0]

    def load(self, kind: str, name: str) -> Any:
        """Import the plugin of this kind and name and return its object.

        Raises:
            CafxError: as `find` and `load_plugin`.
        """
        return self.load_plugin(self.find(kind, name))

    def load_plugin(self, plugin: Plugin) -> Any:
        """Import one plugin and return its object; a failure is cached and raised again by later calls.

        Raises:
            CafxError: it was built for another plugin API, or its import failed.
        """
        if plugin in self._errors:
            raise copy.copy(self._errors[plugin])  # callers add a location to their own copy
        if plugin not in self._loaded:
            try:
                _check_version(plugin)
                with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
                    self._loaded[plugin] = plugin.load()
            except CafxError as error:
                self._errors[plugin] = copy.copy(error)
                raise
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # importing third-party code may raise anything, and exit
                self.reject(plugin, f"cannot be imported: {type(error).__name__}: {error}")
                raise copy.copy(self._errors[plugin]) from error
        return self._loaded[plugin]

    def reject(self, plugin: Plugin, why: str) -> None:
        """Leave a plugin out from here on; using it is an error that says why."""
        self._errors[plugin] = CafxError(
            f"plugin '{plugin.name}' of {plugin.distribution} {plugin.version} {why}",
            remedy=f"reinstall or remove it: pip uninstall {plugin.distribution}",
        )

    def error(self, plugin: Plugin) -> CafxError | None:
        """Import a plugin and return the error this raises, or None."""
        try:
            self.load_plugin(plugin)
        except CafxError as error:
            return error
        return None

    def usable(self, *kinds: str) -> list[tuple[Plugin, Any]]:
        """All plugins of these kinds that can be imported, each with its object."""
        plugins = [plugin for kind in kinds for plugin in self.plugins(kind)]
        return [(p, self._loaded[p]) for p in plugins if self.error(p) is None]

    def add(self, kind: str, name: str, thing: Any) -> Any:
        """Register an object for this process only, e.g. a layer class defined in a net.py.

        Args:
            kind: the kind of plugin.
            name: the name under which it is found; hides an installed plugin of this name.
            thing: the object, as an entry point would refer to it.

        Returns:
            ``thing``.
        """
        value = f"{thing.__module__}:{getattr(thing, '__qualname__', name)}"
        plugin = Plugin(kind, _groups(kind)[0], name, value, HERE, "0", lambda: thing, list)
        self._added[kind, name] = plugin
        self._loaded[plugin] = thing
        self.generation += 1
        return thing

    def remove(self, kind: str, name: str) -> None:
        """Undo `add`."""
        del self._loaded[self._added.pop((kind, name))]
        self.generation += 1

    def hints(self) -> Any:
        """The object of role ``hints``, which explains mistakes and knows distributions; None if there is none.

        It has ``explain(text, source, line, field, reason, descriptor)``, the error for a prototxt that cannot be
        parsed, or None; ``lacking(needs, source)``, the error for several things that no installed plugin provides,
        each a kind, a name and a line; ``remedy(kind, name, known)``, what to do about a single one; and
        ``install_line(distributions)``, the command that installs distributions from where cafx came from.
        """
        return self.role(HINTS_ROLE)

    def install_line(self, *distributions: str) -> str:
        """What installs distributions here; ``cafx[NAME]`` is an extra of cafx."""
        hints, names = self.hints(), " ".join(distributions)
        return str(hints.install_line(distributions) if hints else f"install {names} from where cafx came from")

    def role(self, name: str) -> Any:
        """The object of a role that need not be filled; None if no usable plugin fills it."""
        found = [plugin for plugin in self.plugins("role") if plugin.name == name]
        return next((self.load_plugin(plugin) for plugin in found if self.error(plugin) is None), None)

    def _unknown(self, kind: str, name: str) -> UnknownNameError:
        known, hints = self.names(kind), self.hints()
        remedy = hints.remedy(kind, name, known) if hints else did_you_mean(name, known)
        return UnknownNameError(f"unknown {DESCRIPTIONS.get(kind, kind)} '{name}'", remedy=remedy)


_current: contextvars.ContextVar[Registry | None] = contextvars.ContextVar("registry", default=None)


def registry() -> Registry:
    """The registry of the innermost `using_registry` block, or else of this environment."""
    return _current.get() or _environment()


@functools.cache
def _environment() -> Registry:
    return Registry()


@contextlib.contextmanager
def using_registry(plugins: Registry) -> Iterator[None]:
    """Make ``plugins`` the default registry within a ``with`` block."""
    token = _current.set(plugins)
    try:
        yield
    finally:
        _current.reset(token)


def _groups(kind: str) -> tuple[str, ...]:
    """The entry-point groups of a kind; those of ``engine.NAME`` hold the routines of that engine."""
    return KINDS.get(kind) or (f"{PREFIX}{kind.replace('engine', 'engines', 1)}",)


def installed() -> Iterable[metadata.EntryPoint]:
    """All entry points of the environment in groups that begin with ``cafx.``."""
    points = metadata.entry_points()
    return [p for group in points.groups if group.startswith(PREFIX) for p in points.select(group=group)]


def _plugin(point: metadata.EntryPoint) -> Plugin:
    group = point.group
    kind = next((k for k, groups in KINDS.items() if group in groups), None)
    distribution = point.dist
    name, version = _described(distribution) if distribution else ("an unnamed distribution", "0")
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


@functools.lru_cache(maxsize=1024)
def _described(distribution: metadata.Distribution) -> tuple[str, str]:
    """A distribution's name and version; its metadata are parsed whenever they are asked for."""
    described = distribution.metadata
    return described["Name"], described["Version"]


def _check_version(plugin: Plugin) -> None:
    stated = [each for each in map(Requirement, plugin.requires()) if canonicalize_name(each.name) == API_DISTRIBUTION]
    title = f"plugin '{plugin.name}' of {plugin.distribution} {plugin.version}"
    if not any(each.specifier for each in stated):
        raise CafxError(
            f"{title} does not state for which plugin API it was built",
            found=f"dependency {stated[0]} without bound" if stated else f"no dependency on {API_DISTRIBUTION}",
            expected=f"{API_DISTRIBUTION}>=0.1,<0.2",
        )
    for requirement in stated:
        if API_VERSION not in requirement.specifier:
            raise CafxError(
                f"{title} was built for another plugin API",
                found=f"{API_DISTRIBUTION} {API_VERSION}",
                expected=f"{requirement.name}{requirement.specifier}",
                remedy=f"install another version of {plugin.distribution} from where this one came from",
            )


def _preferred(name: str) -> str | None:
    """The distribution chosen for a name that several provide: ``CAFX_PREFER=Foo=dist,...``."""
    pairs = [pair.split("=", 1) for pair in os.environ.get(PREFER_SETTING, "").split(",") if pair]
    return dict(pair for pair in pairs if len(pair) == 2).get(name)
