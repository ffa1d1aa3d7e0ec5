"""Write the table of which distribution provides what, and which others it needs: uv run python .ci/known.py."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cafx.kernel.registry import KINDS, registry
from cafx.kernel.schema import declared_by

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "plugins/lib/hints/cafx_lib_hints/known.tsv"
CONTRIBUTED = tuple(f"contrib/{kind}/*" for kind in ("layers", "dialects", "policies", "solvers", "commands"))
FOLDERS = ("plugins/*/*", *CONTRIBUTED)
WHOLE = ("contrib/docs", "contrib/models", "contrib/pycaffe", "tests")
DEPENDENT = (*CONTRIBUTED, "contrib/lib/*", "contrib/bundles/*", *WHOLE)
MEMBERS = runpy.run_path(str(ROOT / ".ci/members.py"))
BROUGHT = set(MEMBERS["members"]())
LISTED = (
    "layer",
    "database",
    "solver",
    "filler",
    "policy",
    "engine",
    "command",
    "monitor",
    "format",
    "dialect",
    "executor",
    "communicator",
)
WITHOUT_FIELDS = ("database", "command", "executor", "communicator")
"""Kinds that add no fields to messages, so that what they need has not to be there."""
Row = tuple[str, str, str, str, str]


def table() -> str:
    """The table: kind, name, fork, distribution and folder."""
    found = [(path.parent, tomllib.loads(path.read_text("utf-8"))["project"]) for path in _pyprojects(FOLDERS)]
    provided = {row for folder, project in found for row in _rows(folder, project)}
    return "".join("\t".join(row) + "\n" for row in sorted({*provided, *_bundles(), *_needs(), *_extras()}))


def _pyprojects(folders: tuple[str, ...]) -> list[Path]:
    return sorted(path for folder in folders for path in ROOT.glob(f"{folder}/pyproject.toml"))


def _rows(folder: Path, project: dict[str, Any]) -> Iterator[Row]:
    stated = re.search(r"\(([^()]*)\)$", project["description"])
    fork = stated[1] if stated and folder.is_relative_to(ROOT / "contrib") else ""
    at = str(folder.relative_to(ROOT))
    for group, entries in project.get("entry-points", {}).items():
        kind = next((kind for kind, groups in KINDS.items() if group in groups), "")
        for name in entries if kind == "upgrade" else ():
            thing = registry().load(kind, name)
            for module in getattr(thing, "modules", ()):
                yield from (("module", each, thing.fork, project["name"], at) for each in _with_packages(module))
        for name in entries if kind in LISTED else ():
            yield kind, name, fork, project["name"], at
            for target, field, origin in _fields(kind, name) if kind not in WITHOUT_FIELDS else ():
                yield target, field, origin or fork, project["name"], at


def _with_packages(module: str) -> list[str]:
    """A module and the packages it is in, any of which may be what cannot be imported."""
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _fields(kind: str, name: str) -> Iterator[tuple[str, str, str]]:
    """The fields and enum values it adds to messages, with the fork."""
    thing = registry().load(kind, name)
    if kind == "dialect":
        for each in thing.additions(name, ""):
            yield each.target, each.name, thing.fork
        return
    for declared in declared_by(thing):
        if declared.__extends__:
            yield declared.__extends__.target, declared.__extends__.field, ""


def _bundles() -> Iterator[Row]:
    for path in _pyprojects(("contrib/bundles/*",)):
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        yield "bundle", project["name"], "", " ".join(_dependencies(project)), str(path.parent.relative_to(ROOT))


def _needs() -> Iterator[Row]:
    """Of each distribution that cafx does not bring, or not with all extras, which such ones it needs."""
    paths = [*_pyprojects(DEPENDENT), *(path for path in _pyprojects(("plugins/*/*",)) if _is_optional(path))]
    projects = {path: tomllib.loads(path.read_text("utf-8"))["project"] for path in paths}
    contributed = {project["name"] for project in projects.values()}
    for path, project in projects.items():
        needed = [each for each in _dependencies(project) if each.partition("[")[0] in contributed]
        needed = [each for each in needed if each not in BROUGHT]
        yield "needs", project["name"], "", " ".join(needed), str(path.parent.relative_to(ROOT))


def _is_optional(path: Path) -> bool:
    """Whether a plugin, or something of it, comes with an extra of cafx only."""
    content = tomllib.loads(path.read_text("utf-8"))
    return "extra" in content.get("tool", {}).get("cafx", {}) or "optional-dependencies" in content["project"]


def _extras() -> Iterator[Row]:
    """What each extra of cafx adds."""
    for name, added in MEMBERS["extras"]().items():
        yield "extra", name, "", " ".join(added), "."


def _dependencies(project: dict[str, Any]) -> list[str]:
    """The names of what it needs, with their extras."""
    return sorted(re.match(r"[\w-]+(\[[\w,-]+\])?", each)[0] for each in project["dependencies"])  # type: ignore[index]


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
