"""Lay every distribution of the repository out as pip would install it: ``python site_folder.py REPOSITORY SITE``.

Each is built by its own build backend, flit_core, in this process, and unpacked.
"""

from __future__ import annotations

import os
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

BACKEND = "flit_core.buildapi"
SKIPPED = {".venv", "build", "dist", "node_modules"}


def projects(repository: Path) -> list[Path]:
    """Folders of the distributions that flit builds."""
    found = []
    for path in sorted(repository.rglob("pyproject.toml")):
        if SKIPPED.intersection(path.relative_to(repository).parts):
            continue
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        if content.get("build-system", {}).get("build-backend") == BACKEND:
            found.append(path.parent)
    return found


def install(project: Path, site: Path) -> None:
    """Build one distribution and unpack it."""
    from flit_core import buildapi

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(project)
        wheel = buildapi.build_wheel(folder)
        with zipfile.ZipFile(Path(folder, wheel)) as archive:
            archive.extractall(site)


def main() -> None:
    """Build all of them."""
    repository, site = (Path(argument).resolve() for argument in sys.argv[1:])
    found = projects(repository)
    for project in found:
        install(project, site)
    print(f"{len(found)} distributions")


if __name__ == "__main__":
    main()
