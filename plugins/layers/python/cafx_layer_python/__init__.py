"""Python: layers written as Python classes, as pycaffe's users write them."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cafx.kernel import Blob, CafxError, Layer, Message, message, option
from cafx_layer_python.user import ParameterBlobs, PlainBlob, Times, UserLayer

if TYPE_CHECKING:
    from cafx.conformance import Case

__all__ = ["ParameterBlobs", "PlainBlob", "Python", "PythonParameter", "Times", "UserLayer"]


@message("python_param", 130)
class PythonParameter(Message):
    """Options of Python."""

    module: str = option(1, "string", doc="module that holds the class; the working directory is searched too")
    layer: str = option(2, "string", doc="name of the class")
    param_str: str = option(3, "string", "", doc="text the class reads as its self.param_str")
    share_in_parallel: bool = option(4, "bool", False, doc="read and ignored: a net runs one copy of the layer")


class Python(Layer):
    """Whatever a user's class computes: (y₁, y₂, …) = f(x₁, x₂, …).

    Bottoms, tops, parameters, shapes and gradients are the class's affair; it is written for
    pycaffe, as a subclass of ``caffe.Layer`` (here `UserLayer`; `Times` is an example). Its reshape
    runs before every forward, so that shapes may depend on values.

    Raises:
        CafxError: a module or class that cannot be had, or whatever the class raises, as the cause.

    Source: Caffe's layer catalogue.
    """

    Parameter = PythonParameter
    options: PythonParameter
    bottoms = (0, None)
    tops = (0, None)
    in_place = True
    deterministic = False
    dynamic_shape = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Import the class, make its object, and set that up."""
        for field in ("module", "layer"):
            if not getattr(self.options, field):
                raise self.error(f"{field} is missing", expected=f'python_param {{ {field}: "…" }}')
        with self._reporting("import"), working_directory_importable():
            importlib.invalidate_caches()
            module = importlib.import_module(self.options.module)
        made = getattr(module, self.options.layer, None)
        if made is None:
            raise self.error(
                f"module '{self.options.module}' has no such class", found=f"layer: '{self.options.layer}'",
                expected="the name of a class in it",
            )  # fmt: skip
        self.blobs.clear()
        with self._reporting("setup"):
            self.user = made(self.spec)
            self.user.param_str = self.options.param_str
            self.user.phase = int(self.phase)
            self.user.blobs = ParameterBlobs(self)
            self.user.setup(plain(bottom), plain(top))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The class's reshape."""
        with self._reporting("reshape"):
            self.user.reshape(plain(bottom), plain(top))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The class's reshape and forward."""
        self.reshape(bottom, top)
        with self._reporting("forward"):
            self.user.forward(plain(bottom), plain(top))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """The class's backward."""
        with self._reporting("backward"):
            self.user.backward(plain(top), propagate_down, plain(bottom))

    @contextlib.contextmanager
    def _reporting(self, doing: str) -> Iterator[None]:
        """Name layer, class and line in whatever the user's code raises; that stays as the cause."""
        name = f"{self.options.module}.{self.options.layer}"
        try:
            yield
        except CafxError as error:
            error.at(self.where)
            raise
        except Exception as error:  # a user's class may raise anything
            remedy = None
            if isinstance(error, ModuleNotFoundError):
                wanted = "cafx-pycaffe" if error.name == "caffe" else error.name
                remedy = f"put '{error.name}' in the working directory or on PYTHONPATH, or install {wanted}"
            raise self.error(
                f"{doing} of {name} failed: {type(error).__name__}: {error}{_line(error)}", remedy=remedy
            ) from error

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """The example of a user's class, with and without its text."""
        from cafx.conformance import Case

        example = {"module": "cafx_layer_python", "layer": "Times"}
        yield Case("plain", (2, 3, 4, 5), options=example)
        yield Case("text", (7,), (2, 3), tops=2, options={**example, "param_str": "-2.5", "share_in_parallel": True})


def plain(blobs: list[Blob]) -> list[PlainBlob]:
    """Blobs as a user's class sees them."""
    return [PlainBlob(blob) for blob in blobs]


@contextlib.contextmanager
def working_directory_importable() -> Iterator[None]:
    """Look for modules in the working directory too, after everywhere else."""
    folder = str(Path.cwd())
    known = folder in sys.path or "" in sys.path
    if not known:
        sys.path.append(folder)
    try:
        yield
    finally:
        if not known and folder in sys.path:
            sys.path.remove(folder)


def _line(error: Exception) -> str:
    """Where in which file an error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
