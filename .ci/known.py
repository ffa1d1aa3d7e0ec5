"""Write the table of which distribution provides what, for hints: uv run python .ci/known.py."""

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
FOLDERS = ("plugins/*/*", "contrib/layers/*", "contrib/dialects/*", "contrib/policies/*", "contrib/solvers/*", "contrib/commands/*")
LISTED = ("layer", "database", "solver", "filler", "policy", "engine", "command", "monitor", "format", "dialect")
Row = tuple[str, str, str, str, str]


def table() -> str:
    """The table: kind, name, fork, distribution and folder."""
    found = [(path.parent, tomllib.loads(path.read_text("utf-8"))["project"]) for path in _pyprojects(FOLDERS)]
    rows = sorted({row for folder, project in found for row in _rows(folder, project)} | set(_bundles()))
    return "".join("\t".join(row) + "\n" for row in rows)


def _pyprojects(folders: tuple[str, ...]) -> list[Path]:
    return sorted(path for folder in folders for path in ROOT.glob(f"{folder}/pyproject.toml"))


def _rows(folder: Path, project: dict[str, Any]) -> Iterator[Row]:
    stated = re.search(r"\(([^()]*)\)$", project["description"])
    fork = stated[1] if stated and folder.is_relative_to(ROOT / "contrib") else ""
    at = str(folder.relative_to(ROOT))
    for group, entries in project.get("entry-points", {}).items():
        kind = next((kind for kind, groups in KINDS.items() if group in groups), "")
        for name in entries if kind in LISTED else ():
            yield kind, name, fork, project["name"], at
            thing = registry().load(kind, name)
            for target, field, origin in _fields(kind, name, thing):
                yield target, field, origin or fork, project["name"], at


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
        holds = [re.match(r"[\w-]+", each)[0] for each in project["dependencies"]]  # type: ignore[index]
        yield "bundle", project["name"], "", " ".join(sorted(holds)), str(path.parent.relative_to(ROOT))


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
