"""Finding the class of a user's layer."""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cafx.kernel import CafxError
from cafx.kernel.errors import did_you_mean
from cafx_layer_python.user import UserLayer


def check_module_name(module: str) -> None:
    """Check that ``module`` is a module's name and not the path of its file.

    Raises:
        CafxError: it is a path; the remedy names the module.
    """
    if not module.endswith(".py") and all(part.isidentifier() for part in module.split(".")):
        return
    parts = [part for part in re.split(r"[/\\]", module.removesuffix(".py")) if part not in ("", ".", "..")]
    outside = Path(module).is_absolute() or ".." in re.split(r"[/\\]", module) or module.startswith("~")
    remedy = f'write module: "{".".join(parts[-1:] if outside else parts)}"'
    remedy += f", and add '{Path(module).parent}' to PYTHONPATH" if outside else ""
    what = "module is the name of a Python module, without folder and .py"
    raise CafxError(what, found=f'"{module}"', remedy=remedy if parts else None)


def import_module(module: str) -> Any:
    """Import a module from the module search path or the working directory."""
    with _working_directory_importable():
        importlib.invalidate_caches()
        return importlib.import_module(module)


def class_of(module: Any, name: str) -> type[UserLayer]:
    """The class of that name.

    Args:
        module: the imported module.
        name: the class.

    Raises:
        CafxError: the module has no such name, or the class is not a subclass of ``caffe.Layer``.
    """
    found = getattr(module, name, None)
    classes = [each for each, value in vars(module).items() if _is_layer_class(value)]
    if found is None:
        expected = "the name of a class in it" + (f" ({', '.join(classes)})" if classes else "")
        what = f"module '{module.__name__}' has no such class"
        raise CafxError(what, found=f"layer: '{name}'", expected=expected, remedy=did_you_mean(name, classes))
    if not isinstance(found, type) or not issubclass(found, UserLayer):
        raise CafxError(
            f"'{name}' of module '{module.__name__}' is not a layer",
            expected="a subclass of caffe.Layer",
            remedy=f"write: class {name}(caffe.Layer): …",
        )
    return found


def _is_layer_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, UserLayer) and value is not UserLayer


@contextlib.contextmanager
def _working_directory_importable() -> Iterator[None]:
    """Add the working directory to the end of the module search path."""
    folder = str(Path.cwd())
    present = folder in sys.path or "" in sys.path
    if not present:
        sys.path.append(folder)
    try:
        yield
    finally:
        if not present and folder in sys.path:
            sys.path.remove(folder)
