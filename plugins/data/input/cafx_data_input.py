"""Input: blobs whose data the program sets."""

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

    shape: tuple[BlobShape, ...] = option(1, BlobShape, repeated=True, doc="one shape for all tops, or one per top")


class Input(Layer):
    """Inputs of a net; the program that runs the net sets their data.

    Bottoms: none. Tops: any number, of the given shapes.

    Raises:
        CafxError: neither one shape nor one per top, or a negative length.

    Source: Caffe's layer catalogue.
    """

    Parameter = InputParameter
    options: InputParameter
    bottoms = 0
    tops = (1, None)
    is_input = True
    deterministic = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Reshape the tops; the program may reshape them later."""
        shapes = self.options.shape
        if len(shapes) not in (0, 1, len(top)):
            expected = f"1 or {len(top)}" if len(top) > 1 else 1
            raise self.error("wrong number of 'shape'", found=len(shapes), expected=expected)
        for index, shape in enumerate(shapes if len(shapes) == len(top) else shapes * len(top)):
            top[index].reshape(*shape.dim)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Do nothing: the tops keep the shapes they were given."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Do nothing: the data have been set."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Do nothing: there are no bottoms."""

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One shape for two tops, one shape per top, and a scalar."""
        from cafx.conformance import Case

        yield Case("one_shape", options={"shape": [{"dim": [2, 3]}]}, tops=2)
        yield Case("two_shapes", options={"shape": [{"dim": [2, 3]}, {"dim": [4]}]}, tops=2)
        yield Case("scalar", options={"shape": [{}]})
