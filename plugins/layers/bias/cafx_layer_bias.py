"""Bias: a sum with a blob broadcast over the remaining axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, FillerParameter, Message, at_least, message, option
from cafx_lib_broadcast import BroadcastLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("bias_param", 141)
class BiasParameter(Message):
    """Options of Bias."""

    axis: int = option(1, "int32", 1, doc="first axis of the bottom that the bias covers; negative from the end")
    num_axes: int = option(
        2, "int32", 1, doc="number of axes of a learned bias; 0 for a scalar, -1 for all", check=at_least(-1)
    )
    filler: FillerParameter = option(3, FillerParameter, doc="initialiser of a learned bias")


class Bias(BroadcastLayer):
    """Bias: y = x + b, with b broadcast over the axes it does not have.

    Bottoms: x of any shape; optionally b, of the shape of consecutive axes of x from ``axis`` on. Top: the
    shape of x; may be the first bottom itself. Parameter, without a second bottom: b, of ``num_axes`` axes.
    Gradients: dx = dy, db = Σ dy over the axes b is broadcast over.

    Raises:
        CafxError: the axes do not exist, or b does not have their shape.

    Source: Caffe's layer catalogue, Bias.

    Read by engines:
        view: shape (outer, operand, inner) of the bottom as three axes, the axes of b in the middle.
    """

    Parameter = BiasParameter
    options: BiasParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create b, unless it is the second bottom."""
        self.add_operand(bottom, self.options.filler)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x + b."""
        x, y = bottom[0].data.reshape(self.view), top[0].mutable_data.reshape(self.view)
        self.xp.add(x, self.broadcast(self.operand(bottom)), out=y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy, db = Σ dy."""
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].mutable_diff[...] = self.reduce(top[0].diff, bottom[1])
        if len(bottom) == 1 and self.param_propagate_down[0]:
            self.blobs[0].mutable_diff[...] += self.reduce(top[0].diff, self.blobs[0])
        if propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].mutable_diff[...] = top[0].diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Learned biases and bottoms, along the first, middle, last and all axes, and scalars."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "std": 0.5}
        yield Case("channels", (2, 3, 4, 5), options={"filler": gaussian})
        yield Case("last_two", (2, 3, 4), options={"axis": -2, "num_axes": 2, "filler": gaussian})
        yield Case("all", (2, 3), options={"axis": 0, "num_axes": -1, "filler": gaussian})
        yield Case("scalar", (2, 3, 2), options={"num_axes": 0, "filler": gaussian})
        yield Case("given", (2, 3, 4, 2), (3, 4))
        yield Case("given_last", (2, 3, 4), (4,), options={"axis": -1})
        yield Case("given_scalar", (2, 3), ())
