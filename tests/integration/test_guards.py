"""Rules of the house that no reviewer should have to remember."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cafx.conformance import load_checks
from cafx.conformance.suite import MODULES as CHECKLIST_MODULES
from cafx.kernel import registry

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES, LAYER_LINES, PYPROJECT_LINES = 400, 150, 20
PACKAGE_LINES = {
    "errors": 50, "registry": 200, "roles": 25, "crash": 45, "files": 225,
    "schema": 1035, "blob": 350, "net": 2060, "training": 910,
}  # fmt: skip
DECLARATIONS = ("core.py", "__init__.py")
"""Caffe's own messages, which are facts, and faces, which only import: neither counts as code."""
FORMATTER_OFF = 20
TOP_LEVEL = {
    "kernel", "dsl", "cli", "plugins", "contrib", "tests",
    "pyproject.toml", "README.md", "CONTRIBUTING.md", "LICENSE",
}  # fmt: skip
FOLDERS = {
    "layers": "layer", "losses": "loss", "data": "data", "solvers": "solver", "fillers": "filler",
    "policies": "policy", "engines": "engine", "commands": "command", "monitors": "monitor",
    "formats": "format", "upgrades": "upgrade", "lib": "lib", "databases": "database", "dialects": "dialect",
    "onnx": "onnx", "communicators": "communicator", "executors": "executor",
}  # fmt: skip
KIND_OF_GROUP = {"cafx.losses": "loss", **{f"cafx.{folder}": kind for folder, kind in FOLDERS.items()}}
CONTRIBUTED = ("commands", "dialects", "layers", "lib", "onnx", "policies", "solvers")
PLUGINS = sorted(
    [*ROOT.glob("plugins/*/*/pyproject.toml")]
    + [path for kind in CONTRIBUTED for path in ROOT.glob(f"contrib/{kind}/*/pyproject.toml")]
)
KERNEL = sorted((ROOT / "kernel/cafx/kernel").rglob("*.py"))


def tracked() -> list[Path]:
    """The files git knows."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [Path(name) for name in listed.stdout.split("\n") if name]


def code_lines(path: Path) -> int:
    """The lines of a module that hold code: not blank, comment or docstring."""
    text = path.read_text("utf-8")
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            documented.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(1 for n, line in lines if line.strip() and not line.strip().startswith("#") and n not in documented)


def test_nobody_ships_the_namespace() -> None:
    assert [path for path in tracked() if path.parts[-2:] == ("cafx", "__init__.py")] == []


def test_the_top_level_holds_what_it_should() -> None:
    found = {path.parts[0] for path in tracked() if not path.parts[0].startswith(".")}
    assert found <= TOP_LEVEL


@pytest.mark.parametrize(("package", "most"), PACKAGE_LINES.items())
def test_each_package_of_the_kernel_can_be_read_in_one_sitting(package: str, most: int) -> None:
    kernel = ROOT / "kernel/cafx/kernel"
    files = [path for path in KERNEL if path.relative_to(kernel).parts[0].removesuffix(".py") == package]
    assert files, "the package has moved: let this guard follow"
    assert sum(code_lines(path) for path in files if path.name not in DECLARATIONS) <= most


def test_every_package_of_the_kernel_has_a_budget() -> None:
    found = {path.relative_to(ROOT / "kernel/cafx/kernel").parts[0].removesuffix(".py") for path in KERNEL}
    assert found - {"__init__"} == set(PACKAGE_LINES)


@pytest.mark.parametrize("path", KERNEL, ids=lambda path: path.name)
def test_no_kernel_file_is_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= FILE_LINES


def kind_of(path: Path, project: dict[str, Any]) -> str:
    """What a plugin's name must say: by its folder or, in contrib, by what it plugs into."""
    groups = list(project.get("entry-points", {}))
    if path.is_relative_to(ROOT / "contrib") and groups:
        return {"cafx.data": "data", **KIND_OF_GROUP}[groups[0]]
    return FOLDERS[path.parts[-3]]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.parent.name)
def test_a_plugin_has_the_template_s_shape(path: Path) -> None:
    text = path.read_text("utf-8")
    project = tomllib.loads(text)["project"]
    kind = kind_of(path, project)
    module = project["name"].replace("-", "_")
    entries = [name for group in project.get("entry-points", {}).values() for name in group]
    assert len(text.splitlines()) - max(0, len(entries) - 1) <= PYPROJECT_LINES
    assert re.fullmatch(rf"cafx-{kind}-[a-z0-9-]+", project["name"])
    assert project["name"].removeprefix(f"cafx-{kind}-").replace("-", "_") == path.parent.name.replace("-", "_")
    assert any(each.startswith("cafx-kernel>=") for each in project["dependencies"])
    assert all("<" in each.split(";")[0] for each in project["dependencies"]), "bound every dependency"
    assert project["requires-python"] == ">=3.11"
    assert 'build-backend = "flit_core.buildapi"' in text
    values = [value for each in project.get("entry-points", {}).values() for value in each.values()]
    needed = {re.split(r"[\[>=<]", each)[0].replace("-", "_") for each in project["dependencies"]}
    engines = {f"cafx_engine_{group.split('.')[2]}" for group in project.get("entry-points", {}) if "engines." in group}
    assert all(value.split(":")[0].split(".")[0] in {module, *needed, *engines} for value in values)
    assert (path.parent / f"{module}.py").is_file() or (path.parent / module / "__init__.py").is_file()
    assert list(path.parent.rglob("test_*.py")), "a plugin has its test beside it"


LAYERS = sorted(
    {Path(inspect.getfile(layer)) for plugin, layer in registry().usable("layer")}, key=lambda path: path.stem
)


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_a_layer_fits_on_three_pages(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LAYER_LINES


def test_the_root_depends_on_the_plugins_present() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    rewritten = runpy.run_path(str(ROOT / ".ci" / "members.py"))["rewritten"](text)
    assert rewritten == text, "run: python .ci/members.py"


def test_the_kernel_names_no_layer_type() -> None:
    types = set(registry().names("layer")) - {"Parameter"}  # also the attribute options hang from
    words = {
        (path.name, node.value)
        for path in KERNEL
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {(name, word) for name, word in words if word in types} == set()


def test_the_checklists_and_the_checks_are_the_same() -> None:
    """A table follows each heading ``#### Checklist: KIND``."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    sections = re.split(r"(?m)^#+ (?:Checklist: )?", text)
    listed = {
        section.split()[0]: sorted(re.findall(r"(?m)^\| `([a-z0-9-]+)` \|", section))
        for section in sections
        if re.match(r"[a-z]+\n", section)
    }
    assert listed == {kind: sorted(load_checks(kind)) for kind in CHECKLIST_MODULES}


def test_there_is_no_lock_file() -> None:
    assert [path for path in tracked() if path.name.endswith(".lock")] == []


SOURCES = sorted(
    path
    for top in ("kernel", "dsl", "cli", "plugins", "contrib", "tests/cafx")
    for path in (ROOT / top).rglob("*.py")
    if not {"tests", "examples", ".venv", "build", "dist"} & set(path.relative_to(ROOT / top).parts)
    and not path.name.startswith(("test_", "conftest"))
)


def module_name(path: Path) -> str:
    """The name under which a source file is imported."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    root = next(i for i, part in enumerate(parts) if part.startswith(("cafx", "caffe")))
    return ".".join(parts[root:]).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES if any(p.startswith(("cafx", "caffe")) for p in path.parts[-4:])}


def imports(name: str) -> set[tuple[str, str]]:
    """The names a module imports from modules of ours, wherever it does so and whatever for."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(each.name, "") for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            found |= {(source, each.name) for each in node.names}
    return {(source, what) for source, what in found if source in MODULES or f"{source}.{what}" in MODULES}


def imported_modules(name: str) -> set[str]:
    """The modules among those."""
    return {f"{source}.{what}" if f"{source}.{what}" in MODULES else source for source, what in imports(name)}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that can reach each other."""
    reach = {node: set(below) for node, below in graph.items()}
    for middle in graph:
        for below in reach.values():
            if middle in below:
                below |= reach[middle]
    groups = {frozenset(b for b in reach[node] if node in reach.get(b, ())) for node in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


@pytest.mark.slow
def test_modules_import_each_other_in_one_direction_types_included() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]], "the test itself finds cycles"
    assert len(MODULES) > 200
    assert cycles({name: imported_modules(name) - {name} for name in MODULES}) == []


def distribution(name: str) -> str:
    """The distribution a module belongs to."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "cafx" else parts[0]


@pytest.mark.slow
def test_no_distribution_uses_another_s_private_names() -> None:
    private = [
        f"{name} imports {source}.{what}"
        for name in MODULES
        for source, what in imports(name)
        if distribution(source) != distribution(name)
        and any(part.startswith("_") and not part.startswith("__") for part in (*source.split("."), what))
    ]
    assert private == []


@pytest.mark.slow
def test_plugins_import_from_the_kernel_s_faces() -> None:
    inner = [
        f"{name} imports {source}"
        for name in MODULES
        for source in imported_modules(name)
        if source.startswith("cafx.kernel.")
        and distribution(name) != "cafx.kernel"
        and MODULES[source].name != "__init__.py"
        and source.count(".") > 2
    ]
    assert inner == []


def test_the_formatter_is_hardly_ever_switched_off() -> None:
    texts = [path.read_text("utf-8", "replace") for path in map(ROOT.joinpath, tracked()) if path.suffix == ".py"]
    assert sum(text.count("# fmt: " + "skip") for text in texts) < FORMATTER_OFF
