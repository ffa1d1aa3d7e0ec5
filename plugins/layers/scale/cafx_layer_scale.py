"""Scale: a product with a blob along some axes, optionally with a bias."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, FillerParameter, Message, at_least, message, option
from cafx_layer_bias import BroadcastLayer

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("scale_param", 142)
class ScaleParameter(Message):
    """Options of Scale."""

    axis: int = option(1, "int32", 1, doc="the bottom's axis at which the scale begins")
    num_axes: int = option(
        2, "int32", 1, doc="axes of a learned scale: 0 a scalar, -1 all that follow", check=at_least(-1)
    )
    filler: FillerParameter = option(3, FillerParameter, doc="how a learned scale starts; unstated, at 1")
    bias_term: bool = option(4, "bool", False, doc="add a learned bias of the scale's shape")
    bias_filler: FillerParameter = option(5, FillerParameter, doc="how that bias starts")


class Scale(BroadcastLayer):
    """Scale: y = s · x + b, with s and b repeated along the axes they do not have.

    Bottoms: x of any shape; optionally s, of a run of x's axes from ``axis`` on. Top: the shape of x;
    may be the first bottom itself. Parameters: s, of ``num_axes`` axes, unless it is a bottom; with
    ``bias_term`` b, of the shape of s.
    Gradients: dx = s · dy; ds = Σ x · dy and db = Σ dy over the axes they are repeated along.

    Raises:
        CafxError: no such axes, or the shape of s is not theirs.

    Source: Caffe's layer catalogue, Scale.
    """

    Parameter = ScaleParameter
    options: ScaleParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make s, unless it is the second bottom, and b, if there is one."""
        options = self.options
        one = FillerParameter(type="constant", value=1.0)
        self.make_operand(bottom, options.filler if options.has("filler") else one)
        if options.bias_term:
            self.add_parameter(self.operand(bottom).shape, options.bias_filler)
        self.kept = self.copy = self.context.blob((), f"{self.name}.kept")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape; in place, the bottom is kept for backward."""
        super().reshape(bottom, top)
        if self.options.bias_term:
            self.require_shape(self.blobs[-1], self.operand(bottom).shape, "its scale")
        if bottom[0] is top[0]:
            self.copy.reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = s · x + b."""
        if bottom[0] is top[0]:
            given = bottom[0].synced_data
            version, self.kept = self.context.copies.get(given, (-1, self.copy))
            if version != given.version:
                self.kept = self.copy
                self.kept.mutable_data[...] = bottom[0].data
        x, y = bottom[0].data.reshape(self.view), top[0].mutable_data.reshape(self.view)
        self.xp.multiply(x, self.repeated(self.operand(bottom)), out=y)
        if self.options.bias_term:
            y += self.repeated(self.blobs[-1])

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """db = Σ dy, ds = Σ x · dy, dx = s · dy."""
        scale, dy, given = self.operand(bottom), top[0].diff, len(bottom) > 1
        if self.options.bias_term and self.param_propagate_down[-1]:
            self.blobs[-1].mutable_diff[...] += self.gather(dy, self.blobs[-1])
        if propagate_down[1] if given else self.param_propagate_down[0]:
            product = self.workspace(dy.shape)
            self.xp.multiply(dy, (self.kept if bottom[0] is top[0] else bottom[0]).data, out=product)
            gradient = self.gather(product, scale)
            if given:
                scale.mutable_diff[...] = gradient
            else:
                scale.mutable_diff[...] += gradient
        if propagate_down[0]:
            dx = bottom[0].mutable_diff.reshape(self.view)
            self.xp.multiply(dy.reshape(self.view), self.repeated(scale), out=dx)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Learned and given, with and without bias, along each run of axes, and a scalar."""
        from cafx.conformance import Case

        drawn = {"type": "gaussian", "std": 0.5}
        biased = {"bias_term": True, "bias_filler": drawn}
        yield Case("channels", (2, 3, 4, 5), options={"filler": drawn})
        yield Case("started_at_one", (2, 3))
        yield Case("last_two", (2, 3, 4), options={"axis": -2, "num_axes": 2, "filler": drawn, **biased})
        yield Case("all", (2, 3), options={"axis": 0, "num_axes": -1, "filler": drawn, **biased})
        yield Case("scalar", (2, 3, 2), options={"num_axes": 0, "filler": drawn, **biased})
        yield Case("given", (2, 3, 4, 2), (3, 4))
        yield Case("given_last", (2, 3, 4), (4,), options={"axis": -1, **biased})
        yield Case("given_scalar", (2, 3), ())
