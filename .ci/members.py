"""Rewrite the root pyproject's lists from the plugins present, and the Pythons of each: python .ci/members.py.

A plugin whose pyproject says ``[tool.cafx] extra = "onnx"`` comes with the extra ``cafx[onnx]`` only. If it has an
optional dependency of that name, this comes with it. An optional dependency of any other plugin is an extra of cafx
too: ``images`` of cafx-lib-feed comes with ``cafx[images]``. ``cafx[all]`` has all of them.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CORE = ["cafx-kernel", "cafx-dsl", "cafx-cli"]
DEVELOPMENT = [
    "cafx-applications",
    "cafx-conformance",
    "cafx-docs",
    "cafx-models",
    "cafx-monitor-slowest",
    "cafx-pycaffe",
]
CONTRIBUTED = ("bundles", "commands", "dialects", "layers", "lib", "onnx", "policies", "solvers")
BOUND = ">=0.1,<0.2"
ALL = "all"
FURTHER = {"docs": ["cafx-docs"]}
"""Extras whose distributions are not plugins."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
CLASSIFIERS = [f"Programming Language :: Python :: {version}" for version in PYTHONS]


def members() -> list[str]:
    """The names of the distributions ``cafx`` is made of."""
    return CORE + [name for name, extra, _ in _plugins() if extra is None]


def extras() -> dict[str, list[str]]:
    """The distributions that each extra of ``cafx`` adds, with the extras of theirs that it needs."""
    found: dict[str, list[str]] = {extra: list(names) for extra, names in FURTHER.items()}
    for name, extra, optional in _plugins():
        for each in [extra] if extra else optional:
            found.setdefault(each, []).append(f"{name}[{each}]" if each in optional else name)
    return dict(sorted(found.items())) | {ALL: sorted({each for names in found.values() for each in names})}


def contributed() -> list[str]:
    """The names of the distributions that are installed for development only: those under contrib, and the extras."""
    found = [path for kind in CONTRIBUTED for path in ROOT.glob(f"contrib/{kind}/*/pyproject.toml")]
    added = [name for name, extra, _ in _plugins() if extra]
    optional = [f"{name}[{each}]" for name, extra, names in _plugins() if not extra for each in names]
    return sorted(DEVELOPMENT + [name for name, *_ in _read(found)] + added + optional)


def _plugins() -> list[tuple[str, str | None, list[str]]]:
    return _read(ROOT.glob("plugins/*/*/pyproject.toml"))


def _read(paths: Iterable[Path]) -> list[tuple[str, str | None, list[str]]]:
    """The name of each distribution, its extra or None, and the names of its optional dependencies."""
    projects = [tomllib.loads(path.read_text("utf-8")) for path in sorted(paths)]
    return [_facts(each) for each in projects]


def _facts(project: dict[str, Any]) -> tuple[str, str | None, list[str]]:
    extra = project.get("tool", {}).get("cafx", {}).get("extra")
    return project["project"]["name"], extra, list(project["project"].get("optional-dependencies", {}))


def rewritten(text: str) -> str:
    """The root pyproject with its lists brought up to date."""
    names, development = members(), contributed()
    lines = [f"{extra} = {json.dumps([each + BOUND for each in added])}\n" for extra, added in extras().items()]
    development_lines = "".join(f'    "{name}",\n' for name in development)
    text = re.sub(r"(?m)^dev = \[\n(?:    \"cafx-.*\n)*", f"dev = [\n{development_lines}", text)
    needed = "".join(f'    "{name}{BOUND}",\n' for name in names)
    text = re.sub(r"(?m)^dependencies = \[\n(?:    .*\n)*\]", f"dependencies = [\n{needed}]", text)
    text = _with_section(text, "project.optional-dependencies", "".join(lines))
    sources = "".join(f"{name} = {{ workspace = true }}\n" for name in [*names, *development] if "[" not in name)
    return _with_section(text, "tool.uv.sources", sources)


def _with_section(text: str, title: str, content: str) -> str:
    return re.sub(rf"(?m)^\[{re.escape(title)}\]\n(?:\S.*\n)*", f"[{title}]\n{content}", text)


def classified(text: str) -> str:
    """A distribution's pyproject with the Pythons that it runs on."""
    line = f"classifiers = {json.dumps(CLASSIFIERS)}\n"
    text = re.sub(r"(?m)^classifiers = \[.*\]\n", "", text)
    return re.sub(r"(?m)^(requires-python = .*\n)", lambda match: match[1] + line, text, count=1)


def pyprojects() -> list[Path]:
    """The pyproject of each distribution in the repository."""
    patterns = ("", "*/", "plugins/*/*/", "contrib/*/", "contrib/*/*/")
    return sorted(path for each in patterns for path in ROOT.glob(f"{each}pyproject.toml"))


if __name__ == "__main__":
    for each in pyprojects():
        each.write_text(classified(each.read_text("utf-8")), "utf-8")
    path = ROOT / "pyproject.toml"
    path.write_text(rewritten(path.read_text("utf-8")), "utf-8")
