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

from cafx.conformance.checks import load_checks
from cafx.conformance.suite import Item, Subject, items
from cafx.kernel import CafxError, Registry
from cafx.kernel.registry import KINDS, Plugin, installed

PASS, FAIL, KNOWN, NOT_APPLICABLE = "pass", "fail", "known failure", "not applicable"
LOADS = ("loads", "the plugin can be imported and has a docstring")


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
    return Report(target, [row for plugin in chosen for row in _check_plugin(plugin, plugins)])


def _find(target: str) -> tuple[Registry, list[Plugin]]:
    if Path(target, "pyproject.toml").is_file():
        return _from_folder(Path(target).resolve())
    if Path(target).exists() or "/" in target:
        raise CafxError("is not a plugin folder", where=target, expected="a folder with a pyproject.toml")
    plugins = Registry()
    every = [plugin for kind in KINDS for plugin in plugins.plugins(kind)]
    chosen = [plugin for plugin in every if _same(plugin.distribution, target)]
    if not chosen:
        raise CafxError(
            f"no installed distribution '{target}' has cafx plugins",
            remedy=f"pip install {target}, or give the plugin's folder",
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
    chosen = [p for kind in KINDS for p in plugins.plugins(kind) if any(p.value == e.value for e in points)]
    return plugins, chosen


def _check_plugin(plugin: Plugin, plugins: Registry) -> Iterator[Row]:
    error = plugins.error(plugin)
    thing = None if error else plugins.load_plugin(plugin)
    problem = str(error) if error else "" if getattr(thing, "__doc__", None) else "no docstring"
    yield Row(plugin.name, *LOADS, FAIL if problem else PASS, problem)
    if problem or plugin.kind != "layer":
        return
    subject = Subject.of(plugin.name, plugins)
    every = list(items(subject))
    for identity, check in load_checks().items():
        outcome, detail = _summary([item for item in every if item.check is check])
        yield Row(plugin.name, identity, check.title, outcome, detail)


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
            return FAIL, f"{item.case}: {problem}" if item.case else problem
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
