"""Build a wheel of every distribution but the root's: python .ci/build_wheels.py FOLDER.

It needs flit_core, the build backend of all of these. Calling it here takes seconds; a process and an environment per
distribution would take minutes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flit_core.wheel import make_wheel_in

ROOT = Path(__file__).resolve().parents[1]


def main(folder: Path) -> None:
    """Build them all into ``folder``."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "*pyproject.toml"]
    if (ROOT / ".git").exists():
        names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.splitlines()
        projects = [ROOT / name for name in names]
    else:
        projects = [path for path in ROOT.rglob("pyproject.toml") if ".venv" not in path.parts]
    for project in sorted(set(projects) - {ROOT / "pyproject.toml"}):
        make_wheel_in(project, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
