"""Rewrite the root pyproject's dependency list from the plugins present: python .ci/members.py."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ["cafx-kernel", "cafx-dsl", "cafx-cli"]
DEVELOPMENT = ["cafx-conformance", "cafx-models", "cafx-monitor-slowest", "cafx-pycaffe"]
CONTRIBUTED = ("bundles", "commands", "dialects", "layers", "lib", "policies", "solvers")
BOUND = ">=0.1,<0.2"


def members() -> list[str]:
    """The names of the distributions ``cafx`` is made of."""
    return CORE + _names(ROOT.glob("plugins/*/*/pyproject.toml"))


def contributed() -> list[str]:
    """The names of the distributions under contrib, which are installed for development only."""
    found = [path for kind in CONTRIBUTED for path in ROOT.glob(f"contrib/{kind}/*/pyproject.toml")]
    return sorted(DEVELOPMENT + _names(found))


def _names(paths: Iterable[Path]) -> list[str]:
    return [tomllib.loads(path.read_text("utf-8"))["project"]["name"] for path in sorted(paths)]


def rewritten(text: str) -> str:
    """The root pyproject with its lists brought up to date."""
    names, development = members(), contributed()
    needed = "".join(f'    "{name}{BOUND}",\n' for name in names)
    sources = "".join(f"{name} = {{ workspace = true }}\n" for name in [*names, *development])
    extra = "".join(f'    "{name}",\n' for name in development)
    text = re.sub(r"(?m)^dev = \[\n(?:    \"cafx-.*\n)*", f"dev = [\n{extra}", text)
    text = re.sub(r"(?m)^dependencies = \[\n(?:    .*\n)*\]", f"dependencies = [\n{needed}]", text)
    return re.sub(r"(?m)^\[tool\.uv\.sources\]\n(?:\S.*\n)*", f"[tool.uv.sources]\n{sources}", text)


if __name__ == "__main__":
    path = ROOT / "pyproject.toml"
    path.write_text(rewritten(path.read_text("utf-8")), "utf-8")
