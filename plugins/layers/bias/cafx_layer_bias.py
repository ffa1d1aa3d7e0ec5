"""Bias: a blob added along some axes; and the base it shares with Scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, FillerParameter, Message, NeuronLayer, at_least, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


class BroadcastLayer(NeuronLayer):
    """A layer that joins its bottom with an operand lying along some of the bottom's axes.

    The operand is the second bottom or, without one, the first parameter. Its first axis is the
    bottom's ``axis``; along the bottom's other axes it is repeated.
    """

    bottoms = (1, 2)

    def make_operand(self, bottom: list[Blob], filler: FillerParameter) -> None:
        """Make the operand a parameter, unless it is a bottom; of ``num_axes`` axes, -1 for all."""
        if len(bottom) > 1:
            return
        axis, shape = self.axis(bottom[0], self.options.axis), bottom[0].shape
        count = len(shape) - axis if self.options.num_axes == -1 else self.options.num_axes
        if axis + count > len(shape):
            raise self.error(
                f"there are not {count} axes from axis {axis} on",
                found=shape_text(shape), expected=f"at least {axis + count} axes",
            )  # fmt: skip
        self.add_parameter(shape[axis : axis + count], filler)

    def operand(self, bottom: list[Blob]) -> Blob:
        """The second bottom, or the first parameter."""
        return bottom[1] if len(bottom) > 1 else self.blobs[0]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape, which the operand's must fit."""
        super().reshape(bottom, top)
        shape, part = bottom[0].shape, self.operand(bottom).shape
        axis = self.axis(bottom[0], self.options.axis) if part else 0
        if shape[axis : axis + len(part)] != part:
            raise self.error(
                f"its second operand does not lie along axes {axis} and following",
                found=f"{shape_text(part)} against {shape_text(shape)}",
                expected=shape_text(shape[axis : axis + len(part)]),
            )
        self.view = (math.prod(shape[:axis]), math.prod(part), math.prod(shape[axis + len(part) :]))

    def repeated(self, blob: Blob) -> Any:
        """A blob of the operand's shape, ready to be joined with values seen as ``view``."""
        return blob.data.reshape(self.view[1], 1)

    def gather(self, values: Any, blob: Blob) -> Any:
        """The sum of ``values``, of the bottom's shape, over the axes a blob is repeated along."""
        return values.reshape(self.view).sum(axis=(0, 2)).reshape(blob.shape)


@message("bias_param", 141)
class BiasParameter(Message):
    """Options of Bias."""

    axis: int = option(1, "int32", 1, doc="the bottom's axis at which the bias begins")
    num_axes: int = option(
        2, "int32", 1, doc="axes of a learned bias: 0 a scalar, -1 all that follow", check=at_least(-1)
    )
    filler: FillerParameter = option(3, FillerParameter, doc="how a learned bias starts")


class Bias(BroadcastLayer):
    """Bias: y = x + b, with b repeated along the axes it does not have.

    Bottoms: x of any shape; optionally b, of a run of x's axes from ``axis`` on. Top: the shape of x;
    may be the first bottom itself. Parameter, without a second bottom: b, of ``num_axes`` axes.
    Gradients: dx = dy, db = Σ dy over the axes b is repeated along.

    Raises:
        CafxError: no such axes, or the shape of b is not theirs.

    Source: Caffe's layer catalogue, Bias.
    """

    Parameter = BiasParameter
    options: BiasParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make b, unless it is the second bottom."""
        self.make_operand(bottom, self.options.filler)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x + b."""
        x, y = bottom[0].data.reshape(self.view), top[0].mutable_data.reshape(self.view)
        self.xp.add(x, self.repeated(self.operand(bottom)), out=y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dy, db = Σ dy."""
        if len(bottom) > 1 and propagate_down[1]:
            bottom[1].mutable_diff[...] = self.gather(top[0].diff, bottom[1])
        if len(bottom) == 1 and self.param_propagate_down[0]:
            self.blobs[0].mutable_diff[...] += self.gather(top[0].diff, self.blobs[0])
        if propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].mutable_diff[...] = top[0].diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Learned and given, along the first, middle, last and all axes, and a scalar."""
        from cafx.conformance import Case

        drawn = {"type": "gaussian", "std": 0.5}
        yield Case("channels", (2, 3, 4, 5), options={"filler": drawn})
        yield Case("last_two", (2, 3, 4), options={"axis": -2, "num_axes": 2, "filler": drawn})
        yield Case("all", (2, 3), options={"axis": 0, "num_axes": -1, "filler": drawn})
        yield Case("scalar", (2, 3, 2), options={"num_axes": 0, "filler": drawn})
        yield Case("given", (2, 3, 4, 2), (3, 4))
        yield Case("given_last", (2, 3, 4), (4,), options={"axis": -1})
        yield Case("given_scalar", (2, 3), ())
