"""Write the table of which distribution provides what, and which others it needs: uv run python .ci/known.py."""

from __future__ import annotations

import re
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
DEPENDENT = (*CONTRIBUTED, "contrib/lib/*", "contrib/bundles/*")
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
Row = tuple[str, str, str, str, str]


def table() -> str:
    """The table: kind, name, fork, distribution and folder."""
    found = [(path.parent, tomllib.loads(path.read_text("utf-8"))["project"]) for path in _pyprojects(FOLDERS)]
    provided = {row for folder, project in found for row in _rows(folder, project)}
    return "".join("\t".join(row) + "\n" for row in sorted({*provided, *_bundles(), *_needs()}))


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
            thing = registry().load(kind, name)
            for target, field, origin in _fields(kind, name, thing):
                yield target, field, origin or fork, project["name"], at


def _with_packages(module: str) -> list[str]:
    """A module and the packages it is in, any of which may be what cannot be imported."""
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _fields(kind: str, name: str, thing: Any) -> Iterator[tuple[str, str, str]]:
    """The fields and enum values it adds to messages, with the fork."""
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
    """Of each contributed distribution, which others it needs."""
    paths = _pyprojects(DEPENDENT)
    projects = {path: tomllib.loads(path.read_text("utf-8"))["project"] for path in paths}
    contributed = {project["name"] for project in projects.values()}
    for path, project in projects.items():
        needed = [name for name in _dependencies(project) if name in contributed]
        yield "needs", project["name"], "", " ".join(needed), str(path.parent.relative_to(ROOT))


def _dependencies(project: dict[str, Any]) -> list[str]:
    return sorted(re.match(r"[\w-]+", each)[0] for each in project["dependencies"])  # type: ignore[index]


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
