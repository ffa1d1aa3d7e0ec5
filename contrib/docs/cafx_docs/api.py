"""The API reference: a page per public module, its contents as ``__all__`` lists them."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from sphinx.pycode import ModuleAnalyzer

from cafx_docs.catalogue.files import Written
from cafx_docs.docstrings import escaped

FACES = {
    "cafx.kernel": "what users call and plugin authors subclass",
    "cafx.kernel.schema": "messages and their declarations",
    "cafx.kernel.net": "nets, engines, programs and weights",
    "cafx.kernel.training": "solvers, update rules, policies and hooks",
    "cafx.kernel.blob": "blobs and places",
    "cafx.kernel.registry": "installed plugins",
    "cafx.dsl": "nets and solvers in Python",
    "cafx.conformance": "the conformance suite",
    "caffe": "pycaffe's interface",
}
"""Public modules, and what they are for."""
LONGEST = 60
DATA = "autodata"
TITLE = "API reference"


def write_api(folder: Path, only: Collection[str] = ()) -> None:
    """Write the pages of all public modules, and an index.

    Args:
        folder: folder of the pages.
        only: the modules' pages to write, such as ``api/cafx.dsl``; all if empty.
    """
    written, seen = Written(folder), set[int]()
    modules = [module for module in FACES if not only or f"api/{module}" in only]
    for module in modules:
        written.write(f"{module}.rst", "\n".join(_page(module, seen)))
    written.write("index.rst", "\n".join(_index(modules)))
    written.remove_others()


def _index(modules: Sequence[str]) -> Iterator[str]:
    yield from (TITLE, "=" * len(TITLE), "")
    yield from ("The public modules. A name is documented with the first module that has it.", "")
    yield from (f"- :doc:`{module} <{module}>`: {FACES[module]}" for module in modules)
    yield from ("", ".. toctree::", "   :hidden:", "", *(f"   {module}" for module in modules), "")


def _page(module: str, seen: set[int]) -> Iterator[str]:
    """The lines of a module's page; what an earlier page documents is left out."""
    names = [name for name in public_names(module) if not _documented_before(module, name, seen)]
    described = [name for name in names if directive(module, name) != DATA]
    yield from (module, "=" * len(module), "")
    yield from (f".. automodule:: {module}", "   :no-members:", "   :no-index:", "")
    yield from (f".. currentmodule:: {module}", "")
    yield from (".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in described), "")
    for name in described:
        yield from (f".. {directive(module, name)}:: {module}.{name}", "")
    for name in names:
        if name not in described:
            yield from _data(module, name)


def _data(module: str, name: str) -> Iterator[str]:
    """The lines of a constant or alias: its value, and what is written below it in the source."""
    value = re.sub(r" at 0x[0-9a-f]+", "", repr(getattr(importlib.import_module(module), name)))
    yield from (f".. py:data:: {module}.{name}", "" if len(value) > LONGEST else f"   :value: {value}", "")
    home = _imports(module).get(name, module)
    text = ModuleAnalyzer.for_module(home).find_attr_docs().get(("", name), [])
    yield from (*(f"   {escaped(line)}" for line in text), "")


@functools.cache
def _imports(module: str) -> dict[str, str]:
    """The modules that a module imports names from."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    froms = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {alias.name: str(node.module) for node in froms for alias in node.names}


def public_names(module: str) -> list[str]:
    """The public names of a module: those of ``__all__``, else what it defines without an underscore."""
    loaded = importlib.import_module(module)
    listed = getattr(loaded, "__all__", None)
    if listed is not None:
        return sorted(listed, key=str.lower)
    return sorted((name for name, value in vars(loaded).items() if _is_own(name, value, module)), key=str.lower)


def _is_own(name: str, value: Any, module: str) -> bool:
    home = getattr(value, "__module__", None) or ""
    return (
        not name.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value))
        and (home == module or home.startswith(f"{module}."))
    )


def _documented_before(module: str, name: str, seen: set[int]) -> bool:
    thing = getattr(importlib.import_module(module), name)
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return inspect.ismodule(thing)
    known = id(thing) in seen
    seen.add(id(thing))
    return known


def directive(module: str, name: str) -> str:
    """The autodoc directive that documents a name.

    >>> directive("cafx.kernel", "Net"), directive("cafx.kernel", "registry"), directive("cafx.kernel", "TEST")
    ('autoclass', 'autofunction', 'autodata')
    """
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing):
        return "autoexception" if issubclass(thing, BaseException) else "autoclass"
    return "autofunction" if inspect.isroutine(thing) else DATA
