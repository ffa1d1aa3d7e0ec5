"""Creating plugins from templates."""

from __future__ import annotations

import ast
import builtins
import datetime
import os
import tempfile
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from string import Template
from typing import Any

import attrs

from cafx.cli.templates.author import Author, author_of, quoted
from cafx.cli.templates.kinds import Kind
from cafx.cli.templates.names import STYLES, Names, names_of
from cafx.kernel import CafxError, registry, schema
from cafx.kernel.errors import did_you_mean

SUFFIX, COMMON = ".tmpl", "common"
BOUND = ">=0.1,<0.2"
DEFAULT_ENGINE = "onednn"
ANOTHER = "choose another name"


@attrs.frozen
class CreatedPlugin:
    """A plugin just created.

    Attributes:
        folder: where it is.
        files: the names of its files, sorted.
        distribution, module: its distribution, and the module in it.
        kind: as in ``cafx new KIND``.
        name: the name by which users know it.
        usage: how it is used, in a line.
        author: who publishes it.
    """

    folder: Path
    files: list[str]
    distribution: str
    module: str
    kind: str
    name: str
    usage: str
    author: Author


@attrs.frozen
class Request:
    """What is to be created.

    Attributes:
        kind: the kind of plugin.
        name: its name, as `names_of` takes it.
        into: the parent folder.
        author, email, url: who publishes it; None for what git says, or placeholders.
        engine: the engine of a routine.
    """

    kind: Kind
    name: str
    into: str = "."
    author: str | None = None
    email: str | None = None
    url: str | None = None
    engine: str = DEFAULT_ENGINE


def create(request: Request) -> CreatedPlugin:
    """Create the plugin ``cafx-KIND-NAME``, completely or not at all.

    Args:
        request: what is to be created.

    Raises:
        CafxError: an invalid name, one that is taken, or a folder that exists or cannot be written.
    """
    kind, into = request.kind, Path(request.into)
    names = names_of(request.name)
    entry = _entry(request, names)
    values = _values(request, names, entry)
    distribution = values["distribution"]
    _check_free(request, names, entry, distribution)
    folder = into / distribution
    if os.path.lexists(folder):
        raise CafxError("already exists", where=str(folder), remedy="choose another name or folder")
    author = author_of(into, request.author, request.email, request.url)
    values |= _published(author, values)
    files = _rendered(kind, values)
    _check_bindings(files[f"{values['module']}.py"], values["object"], request.name)
    _write(folder, files)
    usage = Template(kind.use).substitute(values)
    return CreatedPlugin(folder, sorted(files), distribution, values["module"], kind.name, entry, usage, author)


def _entry(request: Request, names: Names) -> str:
    """The name that users write; for a plugin about a layer, the layer type as it is."""
    entry = STYLES[request.kind.style](names)
    if not request.kind.names_a_layer:
        return entry
    known = registry().names("layer")
    for each in (request.name, entry, *known):
        if each in known and each.lower() in (request.name.lower(), entry.lower()):
            return each
    listed = "install the layer first; 'cafx plugins list --kind layer' lists those that are installed"
    remedy = did_you_mean(request.name, known) or listed
    raise CafxError(f"there is no layer type '{request.name}'", remedy=remedy)


def _values(request: Request, names: Names, entry: str) -> dict[str, str]:
    """What the templates leave open, but for the author."""
    kind = request.kind
    stem = names.short if kind.style in ("type", "upper", "short") else names.dashed
    middle = f"{request.engine}-{stem}" if "$engine" in kind.group else stem
    distribution = f"cafx-{kind.name}-{middle}"
    values = {each: getattr(names, each) for each in ("short", "snake", "dashed", "upper", "title")}
    values |= {"engine": request.engine, "Type": entry if kind.names_a_layer else names.type}
    return values | {
        "kind": kind.name,
        "entry": entry,
        "object": values["snake"] if kind.is_function else f"{values['Type']}{'Onnx' * (kind.name == 'onnx')}",
        "field": f"{names.snake}_param",
        "registered": Template(kind.registered or kind.name).substitute(values),
        "group": Template(kind.group).substitute(values),
        "distribution": distribution,
        "module": distribution.replace("-", "_"),
        "stem": stem.replace("-", "_"),
        "starts_with": kind.starts_with,
        "summary": kind.summary.rstrip("."),
        "dependencies": "".join(f"    {quoted(_bounded(each))},\n" for each in ("cafx-kernel", *kind.needs)),
        "also": Template(_further(kind)).substitute(values, module=distribution.replace("-", "_")),
    }


def _further(kind: Kind) -> str:
    """The further entry point of a kind, as in pyproject.toml."""
    if kind.also is None:
        return ""
    group, entry, thing = kind.also
    return f'[project.entry-points."{group}"]\n{entry} = "$module:{thing}"\n'


def _bounded(requirement: str) -> str:
    return requirement if "<" in requirement else f"{requirement}{BOUND}"


def _published(author: Author, values: Mapping[str, str]) -> dict[str, str]:
    """What the templates say about the author."""
    return {
        "author": author.name,
        "author_toml": author.toml,
        "year": str(datetime.datetime.now(tz=datetime.UTC).year),
        "url": quoted(author.url or f"https://example.org/{values['distribution']}"),
    }


def _check_free(request: Request, names: Names, entry: str, distribution: str) -> None:
    """CafxError if a plugin or distribution of this name is known, installed or not."""
    kind = request.kind
    registered = (kind.registered or kind.name).replace("$engine", request.engine)
    if kind.name == "routine" and request.engine not in registry().names("engine"):
        registry().find("engine", request.engine)
    owners = [each.distribution for each in registry().plugins(registered) if each.name.lower() == entry.lower()]
    owners = owners or _built_in(kind, entry) or _known(registered, entry)
    if owners and kind.names_a_layer:
        where = f" on engine '{request.engine}'" if kind.name == "routine" else ""
        raise CafxError(f"layer type '{entry}' has a plugin of kind {kind.name}{where} already, in {owners[0]}")
    if owners:
        raise CafxError(f"{kind.name} '{entry}' is taken by {owners[0]}", remedy=ANOTHER)
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        pass
    else:
        raise CafxError(f"a distribution '{distribution}' is installed", remedy=ANOTHER)
    field = f"{names.snake}_param"
    if registered == "layer" and field in schema()["LayerParameter"].DESCRIPTOR.fields_by_name:
        raise CafxError(f"LayerParameter has a field '{field}' already", remedy=ANOTHER)


def _built_in(kind: Kind, entry: str) -> list[str]:
    if kind.name != "command":
        return []
    from cafx.cli.lazy import COMMANDS

    return ["cafx-cli"] if entry in COMMANDS else []


def _known(registered: str, entry: str) -> list[str]:
    """The distributions that provide such a plugin, as the role ``hints`` knows."""
    hints: Any = registry().hints()
    return hints.providers(registered, entry) if hasattr(hints, "providers") else []


def _check_bindings(module: str, name: str, given: str) -> None:
    """CafxError if the plugin would have the name of something that its module uses."""
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(module))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    if name in imported or hasattr(builtins, name):
        raise CafxError(f"'{given}' is a name that the plugin's code needs for something else", remedy=ANOTHER)


def _rendered(kind: Kind, values: Mapping[str, str]) -> dict[str, str]:
    """The files' contents by name."""
    inner = dict(values, usage=_template(kind.name, "usage.md", values).rstrip("\n"))
    return {
        "pyproject.toml": _template(COMMON, "pyproject.toml", inner),
        "README.md": _template(COMMON, "README.md", inner),
        "LICENSE": _template(COMMON, "LICENSE", inner),
        f"{values['module']}.py": _template(kind.name, "module.py", inner),
        f"test_{values['stem']}.py": _template(kind.name, "test.py", inner),
    }


def _template(folder: str, name: str, values: Mapping[str, str]) -> str:
    text = resources.files(__package__).joinpath(folder, f"{name}{SUFFIX}").read_text("utf-8")
    return Template(text).substitute(values)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write a folder, completely or not at all."""
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            draft = Path(temporary) / folder.name
            draft.mkdir()
            for name, text in files.items():
                (draft / name).write_text(text, "utf-8", newline="\n")
            draft.rename(folder)
    except OSError as error:
        raise CafxError(f"cannot be written: {error.strerror}", where=str(folder)) from error
