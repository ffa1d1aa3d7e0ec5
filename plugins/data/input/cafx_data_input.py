"""Input: blobs fed from outside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, message, option
from cafx.kernel.schema import BlobShape

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("input_param", 143)
class InputParameter(Message):
    """Options of Input."""

    shape: tuple[BlobShape, ...] = option(1, BlobShape, repeated=True, doc="one shape for every top, or one a top")


class Input(Layer):
    """The net's inputs: whoever runs the net sets their data.

    Bottoms: none. Tops: any number, of the shapes stated.

    Raises:
        CafxError: shapes that are neither one nor one a top, or a negative length.

    Source: Caffe's layer catalogue.
    """

    Parameter = InputParameter
    options: InputParameter
    bottoms = 0
    tops = (1, None)
    is_input = True
    deterministic = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the tops their shapes; whoever feeds them may reshape them later."""
        shapes = self.options.shape
        if len(shapes) not in (0, 1, len(top)):
            raise self.error(
                "shape is stated once, or once a top",
                found=len(shapes),
                expected=f"1 or {len(top)}" if len(top) > 1 else 1,
            )
        for index, shape in enumerate(shapes if len(shapes) == len(top) else shapes * len(top)):
            top[index].reshape(*shape.dim)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops stay as they were fed."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The data are there already."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """There is nothing below."""

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One shape for two tops, a shape for each, and a scalar."""
        from cafx.conformance import Case

        yield Case("one_shape", options={"shape": [{"dim": [2, 3]}]}, tops=2)
        yield Case("two_shapes", options={"shape": [{"dim": [2, 3]}, {"dim": [4]}]}, tops=2)
        yield Case("scalar", options={"shape": [{}]})
