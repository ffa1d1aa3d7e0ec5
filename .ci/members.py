"""Rewrite the root pyproject's dependency list from the plugins present: python .ci/members.py."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ["cafx-kernel", "cafx-dsl", "cafx-cli"]
DEVELOPMENT = ["cafx-conformance", "cafx-models", "cafx-monitor-slowest", "cafx-pycaffe"]
BOUND = ">=0.1,<0.2"


def members() -> list[str]:
    """The names of the distributions ``cafx`` is made of."""
    folders = sorted(ROOT.glob("plugins/*/*/pyproject.toml"))
    return CORE + [tomllib.loads(path.read_text("utf-8"))["project"]["name"] for path in folders]


def rewritten(text: str) -> str:
    """The root pyproject with its lists brought up to date."""
    names = members()
    needed = "".join(f'    "{name}{BOUND}",\n' for name in names)
    sources = "".join(f"{name} = {{ workspace = true }}\n" for name in [*names, *DEVELOPMENT])
    text = re.sub(r"(?m)^dependencies = \[\n(?:    .*\n)*\]", f"dependencies = [\n{needed}]", text)
    return re.sub(r"(?m)^\[tool\.uv\.sources\]\n(?:\S.*\n)*", f"[tool.uv.sources]\n{sources}", text)


if __name__ == "__main__":
    path = ROOT / "pyproject.toml"
    path.write_text(rewritten(path.read_text("utf-8")), "utf-8")
