"""Scale: a product with a blob broadcast over the remaining axes, optionally with a bias."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, FillerParameter, Message, at_least, message, option
from cafx_lib_broadcast import BroadcastLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("scale_param", 142)
class ScaleParameter(Message):
    """Options of Scale."""

    axis: int = option(1, "int32", 1, doc="first axis of the bottom that the scale covers; negative from the end")
    num_axes: int = option(
        2, "int32", 1, doc="number of axes of a learned scale; 0 for a scalar, -1 for all", check=at_least(-1)
    )
    filler: FillerParameter = option(3, FillerParameter, doc="initialiser of a learned scale (default: all 1)")
    bias_term: bool = option(4, "bool", False, doc="add a learned bias of the scale's shape")
    bias_filler: FillerParameter = option(5, FillerParameter, doc="bias initialiser")


class Scale(BroadcastLayer):
    """Scale: y = s · x + b, with s and b broadcast over the axes they do not have.

    Bottoms: x of any shape; optionally s, of the shape of consecutive axes of x from ``axis`` on. Top: the
    shape of x; may be the first bottom itself. Parameters: s, of ``num_axes`` axes, unless it is a bottom;
    with ``bias_term`` b, of the shape of s.
    Gradients: dx = s · dy; ds = Σ x · dy and db = Σ dy over the axes they are broadcast over.

    Raises:
        CafxError: the axes do not exist, or s does not have their shape.

    Source: Caffe's layer catalogue, Scale.

    Read by engines:
        view: shape (outer, operand, inner) of the bottom as three axes, the axes of s in the middle.
    """

    Parameter = ScaleParameter
    options: ScaleParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create s, unless it is the second bottom, and b, if there is one."""
        options = self.options
        one = FillerParameter(type="constant", value=1.0)
        self.add_operand(bottom, options.filler if options.has("filler") else one)
        if options.bias_term:
            self.add_parameter(self.operand(bottom).shape, options.bias_filler)
        self.overwritten = self.context.blob((), f"{self.name}.overwritten")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        super().reshape(bottom, top)
        if self.options.bias_term:
            self.require_shape(self.blobs[-1], self.operand(bottom).shape, "the scale")
        if bottom[0] is top[0]:
            self.overwritten.reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = s · x + b; in place, x is kept for backward."""
        if bottom[0] is top[0]:
            self.overwritten.mutable_data[...] = bottom[0].data
        x, y = bottom[0].data.reshape(self.view), top[0].mutable_data.reshape(self.view)
        self.xp.multiply(x, self.broadcast(self.operand(bottom)), out=y)
        if self.options.bias_term:
            y += self.broadcast(self.blobs[-1])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """db = Σ dy, ds = Σ x · dy, dx = s · dy."""
        scale, dy, given = self.operand(bottom), top[0].diff, len(bottom) > 1
        if self.options.bias_term and self.param_propagate_down[-1]:
            self.blobs[-1].mutable_diff[...] += self.reduce(dy, self.blobs[-1])
        if propagate_down[1] if given else self.param_propagate_down[0]:
            product = self.workspace(dy.shape)
            x = self.overwritten if bottom[0] is top[0] else bottom[0]
            self.xp.multiply(dy, x.data, out=product)
            gradient = self.reduce(product, scale)
            if given:
                scale.mutable_diff[...] = gradient
            else:
                scale.mutable_diff[...] += gradient
        if propagate_down[0]:
            dx = bottom[0].mutable_diff.reshape(self.view)
            self.xp.multiply(dy.reshape(self.view), self.broadcast(scale), out=dx)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Learned scales and bottoms, with and without bias, along all positions of axes, and scalars."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "std": 0.5}
        biased = {"bias_term": True, "bias_filler": gaussian}
        yield Case("channels", (2, 3, 4, 5), options={"filler": gaussian})
        yield Case("started_at_one", (2, 3))
        yield Case("last_two", (2, 3, 4), options={"axis": -2, "num_axes": 2, "filler": gaussian, **biased})
        yield Case("all", (2, 3), options={"axis": 0, "num_axes": -1, "filler": gaussian, **biased})
        yield Case("scalar", (2, 3, 2), options={"num_axes": 0, "filler": gaussian, **biased})
        yield Case("given", (2, 3, 4, 2), (3, 4))
        yield Case("given_last", (2, 3, 4), (4,), options={"axis": -1, **biased})
        yield Case("given_scalar", (2, 3), ())
