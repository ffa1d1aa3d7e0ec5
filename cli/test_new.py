"""``cafx new``: packages of every kind, filled with their name, publishable, and passing their checklists."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from packaging.licenses import canonicalize_license_expression
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cafx.cli import installing
from cafx.cli.new import new
from cafx.cli.templates import writing
from cafx.cli.templates.author import Author, author_of
from cafx.cli.templates.kinds import ALIASES, KINDS
from cafx.cli.templates.names import STYLES, names_of
from cafx.kernel import CafxError, registry
from cafx.kernel.registry import KINDS as REGISTRY_KINDS

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[1]
NAME, OTHER = "GentleWave", "sharp-edge"
ENGINE = "onednn"
TRUE_LAYERS = {"routine": "Tile", "onnx": "Proposal"}
"""Layer types without such a routine and converter."""
ENDINGS = {"loss": "-loss", "data": "-data"}
"""Layers, losses and data layers share their names."""
STARTS_PROCESSES = ("communicator", "executor")
"""Kinds whose checklists start many processes."""
PLACEHOLDER = re.compile(r"\$\{?[A-Za-z_]")


def request(kind: str, name: str, into: Path, **values: Any) -> writing.Request:
    """What a plugin of a kind is created from."""
    given = {"author": "Ada Lovelace", "email": "ada@example.org", **values}
    return writing.Request(KINDS[kind], TRUE_LAYERS.get(kind, name), str(into), engine=ENGINE, **given)


def name_of(kind: str, name: str) -> str:
    """The name of a plugin of this kind, other than those of other kinds."""
    return name + ENDINGS.get(kind, "")


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> dict[str, writing.CreatedPlugin]:
    """A plugin of each kind."""
    folder = tmp_path_factory.mktemp("plugins")
    return {kind: writing.create(request(kind, name_of(kind, NAME), folder)) for kind in KINDS}


def texts(plugin: writing.CreatedPlugin) -> dict[str, str]:
    """The files of a plugin."""
    return {name: (plugin.folder / name).read_text("utf-8") for name in plugin.files}


def project_of(plugin: writing.CreatedPlugin) -> dict[str, Any]:
    """What its pyproject.toml says."""
    project: dict[str, Any] = tomllib.loads((plugin.folder / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def test_there_is_a_template_for_every_kind_of_plugin() -> None:
    groups = {kind.group for kind in KINDS.values()}
    every = {group for groups in REGISTRY_KINDS.values() for group in groups} - {"cafx.roles", "cafx.engines"}
    assert groups == every | {"cafx.engines.$engine"}
    assert set(ALIASES.values()) <= set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_is_complete(kind: str, created: dict[str, writing.CreatedPlugin]) -> None:
    plugin = created[kind]
    stem = plugin.module.removeprefix(f"cafx_{kind}_").removeprefix(f"{ENGINE}_")
    expected = {"pyproject.toml", "README.md", "LICENSE", f"{plugin.module}.py", f"test_{stem}.py"}
    assert set(plugin.files) == expected == {path.name for path in plugin.folder.iterdir()}
    for name, text in texts(plugin).items():
        assert not PLACEHOLDER.search(text), name
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        if name.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("kind", KINDS)
def test_the_entry_point_leads_to_the_plugin(kind: str, created: dict[str, writing.CreatedPlugin]) -> None:
    plugin = created[kind]
    entries = project_of(plugin)["entry-points"]
    group = KINDS[kind].group.replace("$engine", ENGINE)
    assert list(entries[group]) == [plugin.name]
    tree = ast.parse(texts(plugin)[f"{plugin.module}.py"])
    defined = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    for value in (value for each in entries.values() for value in each.values()):
        module, _, thing = value.partition(":")
        assert module == plugin.module
        assert thing in defined


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in TRUE_LAYERS])
def test_two_plugins_differ_in_their_name_only(
    kind: str, created: dict[str, writing.CreatedPlugin], tmp_path: Path
) -> None:
    """What is left of one name in the other's files, or of a name in a template, would be a difference."""
    one, two = created[kind], writing.create(request(kind, name_of(kind, OTHER), tmp_path))
    both = [names_of(name_of(kind, name)) for name in (NAME, OTHER)]
    pairs = [tuple(map(style, both)) for style in STYLES.values()]
    pairs.append((both[0].title, both[1].title))
    assert len(one.files) == len(two.files)

    def neutral(text: str, index: int) -> str:
        for number, pair in enumerate(sorted(pairs, key=lambda pair: -len(pair[index]))):
            text = text.replace(pair[index], f"<name {number}>")
        return re.sub(r"<name \d>", "<name>", text)

    for name, text in texts(one).items():
        same = neutral(name, 0)
        (other,) = [each for each in two.files if neutral(each, 1) == same]
        assert neutral(text, 0) == neutral(texts(two)[other], 1), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_is_in_description_docstrings_and_tests(kind: str, created: dict[str, writing.CreatedPlugin]) -> None:
    plugin = created[kind]
    names = names_of(TRUE_LAYERS.get(kind, name_of(kind, NAME)))
    assert project_of(plugin)["description"].startswith(plugin.name)
    for name, text in texts(plugin).items():
        if name.endswith(".py"):
            docstring = ast.get_docstring(ast.parse(text))
            assert docstring
            assert plugin.name in docstring or names.type in docstring
    tests = texts(plugin)[f"test_{plugin.module.removeprefix('cafx_').partition('_')[2].removeprefix(f'{ENGINE}_')}.py"]
    functions = re.findall(r"^def (test_\w+)", tests, re.MULTILINE)
    assert functions
    assert all(each.startswith(f"test_{names.snake}_") for each in functions)
    assert texts(plugin)["README.md"].startswith(f"# {plugin.distribution}\n")


@pytest.mark.parametrize("kind", KINDS)
def test_the_metadata_are_those_of_a_published_distribution(
    kind: str, created: dict[str, writing.CreatedPlugin]
) -> None:
    plugin = created[kind]
    project = project_of(plugin)
    person = project["authors"][0]
    raw = {
        "metadata_version": "2.4",
        "author_email": f"{person['name']} <{person['email']}>",
        "summary": project["description"],
        "requires_python": project["requires-python"],
        "license_expression": project["license"],
        "license_files": project["license-files"],
        "project_urls": project["urls"],
        **{name: project[name] for name in ("name", "version", "keywords", "classifiers")},
    }
    metadata = Metadata.from_raw(raw, validate=True)  # type: ignore[arg-type]
    assert metadata.name == plugin.distribution
    assert canonicalize_license_expression(project["license"]) == "BSD-2-Clause"
    assert not any(each.startswith("License ::") for each in project["classifiers"]), "the expression replaces them"
    assert "3.11" in SpecifierSet(project["requires-python"])
    assert all("<" in str(Requirement(each).specifier) for each in project["dependencies"])
    assert "cafx-kernel" in {Requirement(each).name for each in project["dependencies"]}
    license_text = texts(plugin)["LICENSE"]
    assert re.search(r"Copyright \(c\) 20\d\d, Ada Lovelace\n", license_text)
    assert project["readme"] in plugin.files


def test_the_code_is_clean(created: dict[str, writing.CreatedPlugin]) -> None:
    folder = next(iter(created.values())).folder.parent
    for command in (["check"], ["format", "--check"]):
        line = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml"), "."]
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def site_of(created: dict[str, writing.CreatedPlugin], site: Path) -> Path:
    """A folder in which the plugins are, as if installed."""
    for plugin in created.values():
        project = project_of(plugin)
        info = site / f"{plugin.module}-0.1.0.dist-info"
        info.mkdir(parents=True)
        required = "".join(f"Requires-Dist: {each}\n" for each in project["dependencies"])
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: 0.1.0\n{required}")
        groups = project["entry-points"].items()
        lines = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in each.items()) for group, each in groups
        ]
        (info / "entry_points.txt").write_text("".join(lines))
        shutil.copy(plugin.folder / f"{plugin.module}.py", site)
    return site


@pytest.mark.slow
@pytest.mark.parametrize("starts_processes", [False, True])
def test_every_plugin_passes_its_tests_and_its_checklist(
    starts_processes: bool, created: dict[str, writing.CreatedPlugin], tmp_path: Path, environment: dict[str, str]
) -> None:
    pytest.importorskip("cafx.conformance.report")
    chosen = [kind for kind in KINDS if (kind in STARTS_PROCESSES) == starts_processes]
    folders = [str(created[kind].folder) for kind in chosen]
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [*command, "--import-mode=importlib", "--rootdir", str(tmp_path), *folders],
        env={**environment, "PYTHONPATH": str(site_of(created, tmp_path / "site"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 8 * len(chosen)  # type: ignore[index]


@pytest.mark.slow
def test_the_code_is_well_typed(created: dict[str, writing.CreatedPlugin], tmp_path: Path) -> None:
    files = [str(plugin.folder / f"{plugin.module}.py") for plugin in created.values()]
    command = [sys.executable, "-m", "mypy", "--config-file", "", "--cache-dir", str(tmp_path)]
    relaxed = ["--ignore-missing-imports", "--follow-imports=silent", "--explicit-package-bases"]
    done = subprocess.run([*command, *relaxed, *files], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["layer", "command"])
def test_uv_builds_what_can_be_published(kind: str, created: dict[str, writing.CreatedPlugin], tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    plugin = created[kind]
    command = [uv, "build", "--quiet", "--out-dir", str(tmp_path), str(plugin.folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("*.whl")
    names, metadata = _wheel(wheel)
    assert f"{plugin.module}.py" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    parsed = Metadata.from_email(metadata, validate=True)
    assert (parsed.name, parsed.license_expression) == (plugin.distribution, "BSD-2-Clause")
    assert parsed.description_content_type == "text/markdown"
    assert parsed.project_urls == {"Homepage": f"https://example.org/{plugin.distribution}"}
    assert list(tmp_path.glob("*.tar.gz"))


def _wheel(path: Path) -> tuple[list[str], bytes]:
    """The names of the files in a wheel, and its metadata."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return names, archive.read(next(name for name in names if name.endswith("METADATA")))


def invoke(*arguments: str) -> Any:
    """A run of ``cafx new`` in this process."""
    return CliRunner().invoke(new, list(arguments), prog_name="cafx new")


def test_the_kinds_are_listed() -> None:
    result = invoke()
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    for kind in KINDS.values():
        assert sum(line.startswith(f"{kind.name} ") for line in lines) == 1
        assert any(line.startswith(f"{kind.name} ") and line.endswith(kind.summary) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_help_has_an_example_that_works(kind: str, tmp_path: Path) -> None:
    text = invoke(kind, "--help").stdout
    (example,) = re.findall(rf"^ *cafx new {kind} (\S+)$", text, re.MULTILINE)
    assert names_of(example)
    if kind not in TRUE_LAYERS:
        assert invoke(kind, example, "--into", str(tmp_path), "-q").exit_code == 0


def test_a_misspelt_kind_has_a_suggestion() -> None:
    result = invoke("polcy", "x")
    assert result.exit_code == 2
    assert "did you mean 'policy'?" in result.stderr
    assert "'cafx new' lists the kinds" in invoke("zzz", "x").stderr
    assert "converter of one layer type" in invoke("converter", "--help").stdout


def test_the_next_commands_are_printed_and_work_as_json(tmp_path: Path) -> None:
    text = invoke("policy", NAME, "--into", str(tmp_path)).stdout
    assert re.search(r"^  .*install (.* )?-e \S+cafx-policy-gentle-wave$", text, re.MULTILINE)
    assert re.search(r"^  .*check \S+cafx-policy-gentle-wave$", text, re.MULTILINE)
    assert 'lr_policy: "gentle_wave"' in text
    assert re.search(r"^  .*(uv|-m) build \S+cafx-policy-gentle-wave$", text, re.MULTILINE)
    told = json.loads(invoke("policy", OTHER, "--into", str(tmp_path), "--json").stdout)
    assert (told["distribution"], told["module"]) == ("cafx-policy-sharp-edge", "cafx_policy_sharp_edge")
    assert sorted(path.name for path in Path(told["folder"]).iterdir()) == told["files"]
    assert told["next"][0].endswith(told["folder"])


def test_names_that_are_taken_are_refused(tmp_path: Path) -> None:
    known = {
        "layer": ["ReLU", "relu", "Interp", "Transform"],
        "loss": ["EuclideanLoss", "Softmax"],
        "policy": ["inv"],
        "solver": ["adam"],
        "database": ["lmdb"],
        "command": ["train", "weights"],
        "source": ["https"],
        "format": ["hdf5"],
    }
    for kind, names in known.items():
        for name in names:
            with pytest.raises(CafxError, match=r"is taken by cafx-|has a field"):
                writing.create(request(kind, name, tmp_path))
    with pytest.raises(CafxError, match=r"'ReLU' has a .* on engine 'onednn' already, in cafx-engine-onednn"):
        writing.create(writing.Request(KINDS["routine"], "relu", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_known_names_are_taken_even_if_they_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry().plugins
    monkeypatch.setattr(registry(), "plugins", lambda kind: [each for each in real(kind) if each.name != "Axpy"])
    monkeypatch.setattr(writing.metadata, "distribution", _absent)
    with pytest.raises(CafxError, match="layer 'Axpy' is taken by cafx-layer-axpy"):
        writing.create(request("layer", "axpy", tmp_path))


def _absent(name: str) -> Any:
    raise writing.metadata.PackageNotFoundError(name)


@pytest.mark.parametrize("name", ["9lives", "a b", "../up", "", "é", "class", "x" * 41, "Blob", "Iterable", "Message"])
def test_invalid_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="name"):
        writing.create(request("layer", name, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_layer_type_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    for kind in ("routine", "onnx"):
        with pytest.raises(CafxError, match="did you mean 'AbsVal'"):
            writing.create(writing.Request(KINDS[kind], "AbsVall", str(tmp_path)))
    with pytest.raises(CafxError, match="unknown engine 'nunpy'"):
        writing.create(writing.Request(KINDS["routine"], "AbsVal", str(tmp_path), engine="nunpy"))


def test_a_folder_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "cafx-filler-gentle-wave"
    folder.mkdir()
    with pytest.raises(CafxError, match="already exists"):
        writing.create(request("filler", NAME, tmp_path))
    assert list(folder.iterdir()) == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = Path.write_text, iter(range(100))

    def write_text(path: Path, *arguments: Any, **values: Any) -> int:
        if next(count) == 3:
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **values)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(CafxError, match="No space left"):
        writing.create(request("layer", NAME, tmp_path))
    assert list(tmp_path.iterdir()) == []


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip))
def test_any_name_of_an_author_is_written_as_it_is(name: str) -> None:
    author = author_of(Path(), name, "ada@example.org")
    assert tomllib.loads(f"a = {author.toml}")["a"] == {"name": name.strip(), "email": "ada@example.org"}


@pytest.mark.parametrize(
    "values", [{"author": "a\nb"}, {"author": " "}, {"email": "ada"}, {"email": 'a@b"'}, {"url": "example.org"}]
)
def test_malformed_authors_are_refused(values: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(CafxError, match=f"--{next(iter(values))} is not"):
        writing.create(request("layer", NAME, tmp_path, **values))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def git_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with git's configuration, and no other configuration."""
    for name in [name for name in os.environ if name.startswith(("GIT_CONFIG", "GIT_AUTHOR"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    (tmp_path / "gitconfig").touch()
    return tmp_path / "gitconfig"


def test_the_author_is_who_git_says(git_identity: Path, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git_identity.write_text('[user]\n  name = Grace \\"Amazing\\" Hopper\n  email = grace@example.org\n')
    plugin = writing.create(writing.Request(KINDS["layer"], NAME, str(tmp_path)))
    assert project_of(plugin)["authors"] == [{"name": 'Grace "Amazing" Hopper', "email": "grace@example.org"}]
    assert author_of(tmp_path, "Ada").name == "Ada"


def test_without_an_identity_there_are_placeholders_and_a_notice(git_identity: Path, tmp_path: Path) -> None:
    result = invoke("layer", NAME, "--into", str(tmp_path))
    assert "the author is a placeholder" in result.stderr
    assert "placeholder" not in result.stdout
    project = tomllib.loads((tmp_path / "cafx-layer-gentlewave/pyproject.toml").read_text())["project"]
    assert project["authors"] == [{"name": "Your Name", "email": "you@example.org"}]
    assert author_of(tmp_path) == Author("Your Name", "you@example.org", "", False)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """An environment with programs and variables, whose interpreter is PREFIX/bin/python."""
    prefix = tmp_path / ".venv"
    (prefix / "bin").mkdir(parents=True)

    def set_up(*programs: str, pip: bool = False, active: str | None = None, nested: bool = False) -> None:
        monkeypatch.setattr(sys, "prefix", str(prefix))
        monkeypatch.setattr(sys, "executable", str(prefix / "bin/python"))
        monkeypatch.setattr(installing.util, "find_spec", lambda name: object() if pip else None)
        found = {name.rpartition("/")[2]: str(tmp_path / name) for name in programs}
        monkeypatch.setattr(installing.shutil, "which", found.get)
        for name, value in (("VIRTUAL_ENV", active and str(tmp_path / active)), ("UV_RUN_RECURSION_DEPTH", nested)):
            monkeypatch.setenv(name, str(value)) if value else monkeypatch.delenv(name, raising=False)

    return set_up


def test_the_install_command_fits_the_environment(
    place: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = f"{tmp_path}/.venv/bin/python"
    monkeypatch.chdir("/")
    place(".venv/bin/pip", pip=True)
    assert installing.install_command("-e", "x") == "pip install -e x"
    place("elsewhere/pip", "bin/uv", pip=True)
    assert installing.install_command("-e", "x y") == f"{python} -m pip install -e 'x y'"
    place("bin/uv", active=".venv")
    assert installing.install_command("-e", "x") == "uv pip install -e x"
    place("bin/uv", active="another")
    assert installing.install_command("-e", "x") == f"uv pip install --python {python} -e x"
    place("bin/uv", active=".venv", nested=True)
    assert installing.install_command("-e", "x") == f"uv pip install --python {python} -e x"
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    assert installing.install_command("-e", "x") == "uv pip install -e x"
    place()
    assert installing.install_command("-e", "x") == f"{python} -m ensurepip && {python} -m pip install -e x"


def test_the_other_commands_fit_the_environment(place: Callable[..., None], tmp_path: Path) -> None:
    python = f"{tmp_path}/.venv/bin/python"
    place(".venv/bin/cafx", "bin/uv")
    assert installing.cafx_command("check", "x") == "cafx check x"
    assert installing.publish_commands("x") == ["uv build x", "uv publish x/dist/*"]
    place(".venv/bin/cafx", "bin/uv", nested=True)
    assert installing.cafx_command("check", "x") == "uv run cafx check x"
    place("bin/cafx")
    assert installing.cafx_command("check", "x") == f"{python} -m cafx.cli check x"
    assert installing.publish_commands("x")[1:] == [f"{python} -m build x", "twine upload x/dist/*"]


@pytest.mark.slow
def test_without_the_conformance_suite_check_names_the_line_that_installs_it(
    folder: Path, cafx: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['cafx.conformance.report'] = None\n")
    monkeypatch.chdir(folder)
    error = cafx("check", "cafx-layer-relu", code=1, env=[("PYTHONPATH", str(folder))]).stderr
    assert error.count("\n") == 1
    assert f"install it with: {installing.suite_command()}" in error


def test_the_suite_comes_from_where_cafx_came_from() -> None:
    assert installing.suite_command().endswith(f" -e {ROOT / 'tests'}")
