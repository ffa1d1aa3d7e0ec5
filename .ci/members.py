"""Rewrite the root pyproject's dependency list from the plugins present: python .ci/members.py.

A plugin whose pyproject says ``[tool.cafx] extra = "onnx"`` comes with ``pip install "cafx[onnx]"`` only.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ["cafx-kernel", "cafx-dsl", "cafx-cli"]
DEVELOPMENT = ["cafx-conformance", "cafx-models", "cafx-monitor-slowest", "cafx-pycaffe"]
CONTRIBUTED = ("bundles", "commands", "dialects", "layers", "lib", "onnx", "policies", "solvers")
BOUND = ">=0.1,<0.2"
CUDA = f'cuda = ["cafx-engine-cupy[cuda]{BOUND}", "cafx-engine-cudnn[cuda]{BOUND}"]\n'


def members() -> list[str]:
    """The names of the distributions ``cafx`` is made of."""
    return CORE + [name for name, extra in _plugins() if extra is None]


def extras() -> dict[str, list[str]]:
    """The names of the distributions that each extra of ``cafx`` adds."""
    found: dict[str, list[str]] = {}
    for name, extra in _plugins():
        if extra is not None:
            found.setdefault(extra, []).append(name)
    return dict(sorted(found.items()))


def contributed() -> list[str]:
    """The names of the distributions that are installed for development only: those under contrib, and the extras."""
    found = [path for kind in CONTRIBUTED for path in ROOT.glob(f"contrib/{kind}/*/pyproject.toml")]
    return sorted(DEVELOPMENT + [name for name, _ in _read(found)] + [name for name, extra in _plugins() if extra])


def _plugins() -> list[tuple[str, str | None]]:
    return _read(ROOT.glob("plugins/*/*/pyproject.toml"))


def _read(paths: Iterable[Path]) -> list[tuple[str, str | None]]:
    """The name of each distribution, and its extra or None."""
    projects = [tomllib.loads(path.read_text("utf-8")) for path in sorted(paths)]
    return [(each["project"]["name"], each.get("tool", {}).get("cafx", {}).get("extra")) for each in projects]


def rewritten(text: str) -> str:
    """The root pyproject with its lists brought up to date."""
    names, development = members(), contributed()
    lines = [f"{extra} = {json.dumps([each + BOUND for each in added])}\n" for extra, added in extras().items()]
    development_lines = "".join(f'    "{name}",\n' for name in development)
    text = re.sub(r"(?m)^dev = \[\n(?:    \"cafx-.*\n)*", f"dev = [\n{development_lines}", text)
    needed = "".join(f'    "{name}{BOUND}",\n' for name in names)
    text = re.sub(r"(?m)^dependencies = \[\n(?:    .*\n)*\]", f"dependencies = [\n{needed}]", text)
    text = _with_section(text, "project.optional-dependencies", "".join([CUDA, *lines]))
    sources = "".join(f"{name} = {{ workspace = true }}\n" for name in [*names, *development])
    return _with_section(text, "tool.uv.sources", sources)


def _with_section(text: str, title: str, content: str) -> str:
    return re.sub(rf"(?m)^\[{re.escape(title)}\]\n(?:\S.*\n)*", f"[{title}]\n{content}", text)


if __name__ == "__main__":
    path = ROOT / "pyproject.toml"
    path.write_text(rewritten(path.read_text("utf-8")), "utf-8")
