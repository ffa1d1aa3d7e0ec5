"""Parameter: a learned parameter as a top."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, FillerParameter, Layer, Message, message, option
from cafx.kernel.schema import BlobShape

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("parameter_param", 145)
class ParameterParameter(Message):
    """Options of Parameter."""

    shape: BlobShape = option(1, BlobShape, doc="shape of the parameter and of the top")


class Parameter(Layer):
    """A parameter as a blob that other layers read: y = w.

    Bottoms: none. Top: the shape of w. Parameter: w, of option ``shape``, initialised to 0; shared with
    another layer through ``param``. Gradient: dw = dy.

    Source: Caffe's layer catalogue.
    """

    Parameter = ParameterParameter
    options: ParameterParameter
    bottoms = 0

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create w."""
        self.add_parameter(self.options.shape.dim, FillerParameter())

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the shape of w and shares its data."""
        top[0].reshape(*self.blobs[0].shape)
        top[0].share_data(self.blobs[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Share the data of w, which may have become another layer's since reshape."""
        top[0].share_data(self.blobs[0])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dw += dy."""
        if self.param_propagate_down[0]:
            self.blobs[0].mutable_diff[...] += top[0].diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Two and four axes."""
        from cafx.conformance import Case

        yield Case("matrix", options={"shape": {"dim": [2, 3]}})
        yield Case("images", options={"shape": {"dim": [2, 3, 1, 4]}})
