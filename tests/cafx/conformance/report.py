"""The report of ``cafx check``: the checklist of one plugin, installed or in a folder."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

import attrs

from cafx.conformance.suite import Item, Subject, items, load_checks
from cafx.kernel import CafxError, Registry
from cafx.kernel.crash import converted_crashes
from cafx.kernel.errors import did_you_mean
from cafx.kernel.registry import KINDS, PREFIX, Plugin, installed, using_registry

PASS, FAIL, KNOWN, NOT_APPLICABLE = "pass", "fail", "known failure", "not applicable"
LOADS = ("loads", "the plugin can be imported and has a docstring")
CASES = ("cases", "its cases can be made")
CHECKLIST = ("checklist", "there is a checklist for its kind")
GROUP = ("group", "its entry-point group is known")
ROUTINES, UPDATES = "cafx.engines.", ".solvers"
"""The groups of an engine's routines begin, and those of its fused update rules end, with these."""


@attrs.frozen
class Row:
    """The outcome of one check on one plugin, and the reason."""

    plugin: str
    check_id: str
    title: str
    outcome: str
    detail: str = ""


@attrs.frozen
class Report:
    """The outcomes of all checks on the plugins of a distribution."""

    target: str
    rows: list[Row]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return bool(self.rows) and all(row.outcome != FAIL for row in self.rows)

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(
            {"target": self.target, "ok": self.ok, "rows": [attrs.asdict(row) for row in self.rows]}, indent=1
        )


def check(target: str) -> Report:
    """Run the suite on a plugin.

    Args:
        target: the name of an installed distribution, or a plugin's folder.

    Raises:
        CafxError: no such distribution is installed, or the folder is not a plugin folder.
    """
    plugins, chosen = _find(target)
    names = [plugin.name for plugin in chosen]
    rows = []
    for plugin in chosen:
        title = f"{plugin.name} ({plugin.kind})" if names.count(plugin.name) > 1 else plugin.name
        with using_registry(plugins), converted_crashes(False):
            rows += [attrs.evolve(row, plugin=title) for row in _check_plugin(plugin, plugins)]
    return Report(target, rows)


def _find(target: str) -> tuple[Registry, list[Plugin]]:
    if Path(target, "pyproject.toml").is_file():
        return _from_folder(Path(target).resolve())
    if Path(target).exists() or "/" in target:
        raise CafxError("is not a plugin folder", where=target, expected="a folder with a pyproject.toml")
    plugins = Registry()
    points = [point for point in installed() if point.dist and _same(point.dist.name, target)]
    chosen = _of_points(points, plugins)
    if not chosen:
        raise CafxError(
            f"no installed distribution '{target}' has cafx plugins",
            remedy="install it first, or give the plugin's folder",
        )
    return plugins, chosen


class _Folder(metadata.Distribution):
    """A plugin's folder as the distribution that it would be installed as."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project", {})

    def read_text(self, filename: str) -> str | None:
        if filename == "METADATA":
            name, version = self._project.get("name", self._folder.name), self._project.get("version", "0")
            required = "".join(f"Requires-Dist: {each}\n" for each in self._project.get("dependencies", ()))
            return f"Name: {name}\nVersion: {version}\n{required}"
        if filename == "entry_points.txt":
            groups = self._project.get("entry-points", {}).items()
            return "".join(f"[{group}]\n{_lines(entries)}" for group, entries in groups)
        return None

    def locate_file(self, path: str | PathLike[str]) -> Path:
        return self._folder / path


def _lines(entries: dict[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in entries.items())


def _from_folder(folder: Path) -> tuple[Registry, list[Plugin]]:
    distribution = _Folder(folder)
    points = [point for point in distribution.entry_points if point.group.startswith("cafx.")]
    if not points:
        raise CafxError("declares no cafx entry points", where=str(folder / "pyproject.toml"))
    sys.path.insert(0, str(folder / "src" if (folder / "src").is_dir() else folder))
    others = [point for point in installed() if point.dist and not _same(point.dist.name, distribution.name)]
    plugins = Registry([*others, *points])
    return plugins, _of_points(points, plugins)


def _of_points(points: Sequence[metadata.EntryPoint], plugins: Registry) -> list[Plugin]:
    """The plugins of entry points: in the order of `KINDS`, then routines of engines, then those of unknown groups."""
    routines = sorted({point.group for point in points if point.group.startswith(ROUTINES)})
    kinds = [*KINDS, *(group.removeprefix(PREFIX).replace("engines", "engine", 1) for group in routines)]
    values = {(point.group, point.name, point.value) for point in points}
    every = [plugin for kind in kinds for plugin in plugins.plugins(kind)]
    found = [plugin for plugin in every if (plugin.group, plugin.name, plugin.value) in values]
    return found + [_unknown(point) for point in points if not _is_known(point.group)]


def _unknown(point: metadata.EntryPoint) -> Plugin:
    """An entry point in a group that nothing reads."""
    name, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
    return Plugin(point.group, point.group, point.name, point.value, name, version, point.load, list)


def _check_plugin(plugin: Plugin, plugins: Registry) -> Iterator[Row]:
    if not _is_known(plugin.group):
        groups = [group for each in KINDS.values() for group in each]
        advice = did_you_mean(plugin.group, groups) or f"groups are {', '.join(groups)}"
        yield Row(plugin.name, *GROUP, FAIL, f"nothing looks for plugins in group '{plugin.group}': {advice}")
        return
    error = plugins.error(plugin)
    thing = None if error else plugins.load_plugin(plugin)
    problem = str(error) if error else "" if getattr(thing, "__doc__", None) else "no docstring"
    yield Row(plugin.name, *LOADS, FAIL if problem else PASS, problem)
    if problem:
        return
    try:
        subject = Subject.of(plugin.name, plugins, plugin.kind)
    except CafxError as error:
        yield Row(plugin.name, *CASES, FAIL, str(error))
        return
    for kind in checklists_of(plugin):
        every = list(items(subject, kind))
        if not load_checks(kind):
            yield Row(plugin.name, *CHECKLIST, NOT_APPLICABLE, f"no checklist for kind '{kind}'")
        for identity, check in load_checks(kind).items():
            outcome, detail = _summary([item for item in every if item.check is check])
            yield Row(plugin.name, identity, check.title, outcome, detail)


def _is_known(group: str) -> bool:
    """Whether plugins are looked for in an entry-point group."""
    return any(group in groups for groups in KINDS.values()) or group.startswith(ROUTINES)


def checklists_of(plugin: Plugin) -> tuple[str, ...]:
    """The checklists that a plugin has to meet: data layers meet two."""
    if plugin.group.startswith(ROUTINES):
        return ("fused update rule" if plugin.group.endswith(UPDATES) else "routine",)
    return (plugin.kind, "data") if plugin.group == "cafx.data" else (plugin.kind,)


def _summary(chosen: Sequence[Item]) -> tuple[str, str]:
    """The worst outcome of one check over all cases."""
    reasons = [item.not_applicable() for item in chosen]
    applicable = [item for item, reason in zip(chosen, reasons, strict=True) if reason is None]
    if not applicable:
        return NOT_APPLICABLE, next((reason for reason in reasons if reason), "no cases")
    known = ""
    for item in applicable:
        problem = _failure(item)
        if problem:
            return FAIL, f"{item.case.name}: {problem}" if item.case else problem
        known = known or item.known_failure() or ""
    return (KNOWN, known) if known else (PASS, "")


def _failure(item: Item) -> str | None:
    try:
        item.run()
    except Exception as error:  # noqa: BLE001 - a third party's layer may raise anything
        text = str(error) or type(error).__name__
        return text if isinstance(error, (CafxError, AssertionError)) else f"{type(error).__name__}: {text}"
    return None


def _same(one: str, two: str) -> bool:
    """Whether two distribution names are the same after pip's normalisation."""
    return one.lower().replace("_", "-").replace(".", "-") == two.lower().replace("_", "-").replace(".", "-")


def coverage(plugins: Registry) -> list[dict[str, Any]]:
    """The number of conformance cases of each installed layer type."""
    return [
        {"type": plugin.name, "distribution": plugin.distribution, "cases": len(list(layer.cases()))}
        for plugin, layer in plugins.usable("layer")
    ]
