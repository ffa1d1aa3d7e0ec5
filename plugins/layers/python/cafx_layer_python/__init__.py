"""Python: layers written as Python classes, with pycaffe's interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, message, option
from cafx_layer_python.loading import check_module_name, class_of, import_module
from cafx_layer_python.reporting import Reporting, UserCodeError
from cafx_layer_python.user import ParameterBlobs, PlainBlob, Times, UserLayer

if TYPE_CHECKING:
    from cafx.conformance import Case

__all__ = ["ParameterBlobs", "PlainBlob", "Python", "PythonParameter", "Times", "UserCodeError", "UserLayer"]


@message("python_param", 130)
class PythonParameter(Message):
    """Options of Python."""

    module: str = option(1, "string", doc="module of the class; the working directory is searched too")
    layer: str = option(2, "string", doc="name of the class")
    param_str: str = option(3, "string", "", doc="text passed to the class as self.param_str")
    share_in_parallel: bool = option(4, "bool", False, doc="accepted for compatibility, ignored")


class Python(Layer):
    """A function defined by a user's class: (y₁, y₂, …) = f(x₁, x₂, …).

    Bottoms, tops, parameters, shapes and gradients are up to the class: a subclass of pycaffe's
    ``caffe.Layer`` (here `UserLayer`; `Times` is an example). Its ``reshape`` runs before every ``forward``,
    so shapes may depend on values.

    The module is imported only in a net that is trusted (`Net(…, trust=True)`, ``cafx train``, ``--trust``), since
    importing it runs its code. In it, only subclasses of ``caffe.Layer`` are called.

    Raises:
        CafxError: the net is not trusted, the module or class is not found, or the class raises an exception, which
            is the cause; so it is if the class or its module ends the process by ``sys.exit``.

    Source: Caffe's layer catalogue.
    """

    Parameter = PythonParameter
    options: PythonParameter
    bottoms = (0, None)
    tops = (0, None)
    in_place = True
    deterministic = False
    dynamic_shape = True
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Import the class, instantiate it and run its ``setup``."""
        for field in ("module", "layer"):
            if not getattr(self.options, field):
                raise self.error(f"{field} is missing", expected=f'python_param {{ {field}: "…" }}')
        with self._reporting("import"):
            check_module_name(self.options.module)
            user_class = class_of(import_module(self.options.module), self.options.layer)
        self.blobs.clear()
        with self._reporting("setup"):
            self.user = user_class(self.spec)
            self.user.param_str = self.options.param_str
            self.user.phase = int(self.phase)
            self.user.blobs = ParameterBlobs(self)
            self.user.setup(plain(bottom), plain(top))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Run the class's ``reshape``."""
        with self._reporting("reshape"):
            self.user.reshape(plain(bottom), plain(top))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Run the class's ``reshape`` and ``forward``."""
        self.reshape(bottom, top)
        with self._reporting("forward"):
            self.user.forward(plain(bottom), plain(top))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Run the class's ``backward``."""
        with self._reporting("backward"):
            self.user.backward(plain(top), propagate_down, plain(bottom))

    def _reporting(self, action: str) -> Reporting:
        return Reporting(self.where, f"{action} of {self.options.module}.{self.options.layer}")

    @classmethod
    def named_code(cls, spec: Any) -> str:
        """What a layer would import and run, for nets that are not trusted.

        Args:
            spec: its LayerParameter.
        """
        return f"Python layer '{spec.python_param.module}.{spec.python_param.layer}'"

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """The example class, with and without ``param_str``."""
        from cafx.conformance import Case

        example = {"module": "cafx_layer_python", "layer": "Times"}
        yield Case("plain", (2, 3, 4, 5), options=example)
        yield Case("text", (7,), (2, 3), tops=2, options={**example, "param_str": "-2.5", "share_in_parallel": True})


def plain(blobs: list[Blob]) -> list[PlainBlob]:
    """Blobs with pycaffe's interface."""
    return [PlainBlob(blob) for blob in blobs]
