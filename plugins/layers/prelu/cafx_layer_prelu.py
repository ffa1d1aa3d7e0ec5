"""PReLU: the rectified linear unit with learned slopes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, FillerParameter, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


FIRST_SLOPE = 0.25


@message("prelu_param", 131)
class PReLUParameter(Message):
    """Options of PReLU."""

    filler: FillerParameter = option(1, FillerParameter, doc="how the slopes start; unstated, all at 0.25")
    channel_shared: bool = option(2, "bool", False, doc="one slope for all channels")


class PReLU(NeuronLayer):
    """Parametric rectified linear unit: y = max(x, 0) + a_c · min(x, 0), c the index of axis 1.

    Bottom: shape N×C×…. Top: the same shape; may be the bottom itself. Parameter: the slopes a, of
    shape C, or a scalar with ``channel_shared``.
    Gradients: dx = dy where x > 0, a_c · dy elsewhere; da_c = the sum of dy · x over x ≤ 0.

    Raises:
        CafxError: a bottom of less than two axes, or of another number of channels than at setup.

    Source: He et al., "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet
    Classification", 2015.
    """

    Parameter = PReLUParameter
    options: PReLUParameter
    kinks = (0.0,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make the slopes."""
        if bottom[0].num_axes < 2:
            raise self.error("needs channels", found=f"{bottom[0].num_axes} axes", expected="2 or more axes")
        options = self.options
        stated = options.has("filler")
        filler = options.filler if stated else FillerParameter(type="constant", value=FIRST_SLOPE)
        self.add_parameter(() if options.channel_shared else (bottom[0].shape[1],), filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape; each channel meets its slope."""
        super().reshape(bottom, top)
        if not self.options.channel_shared:
            self.require_shape(self.blobs[0], bottom[0].shape[1:2], "the slopes, one a channel,")
        self.against = (1, -1, *(1,) * (bottom[0].num_axes - 2))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = x or a · x."""
        x = bottom[0].data
        self.kept = x.copy() if top[0] is bottom[0] else None
        slopes = self.blobs[0].data.reshape(self.against)
        below = slopes * self.xp.minimum(x, 0)
        y = self.xp.maximum(x, 0, out=top[0].mutable_data)
        y += below

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """da += Σ dy · min(x, 0); dx = dy or a · dy."""
        x, dy = bottom[0].data if self.kept is None else self.kept, top[0].diff
        if self.param_propagate_down[0]:
            axes = tuple(i for i in range(x.ndim) if i != 1 or self.options.channel_shared)
            self.blobs[0].mutable_diff[...] += (dy * self.xp.minimum(x, 0)).sum(axis=axes)
        if propagate_down[0]:
            slopes = self.blobs[0].data.reshape(self.against)
            positive = x > 0
            below = slopes * (dy * ~positive)
            dx = self.xp.multiply(dy, positive, out=bottom[0].mutable_diff)
            dx += below

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """A slope a channel and one for all, from two axes to five."""
        from cafx.conformance import Case

        drawn = {"type": "gaussian", "mean": 0.2, "std": 0.3}
        yield Case("plain", (2, 3, 4, 5))
        yield Case("drawn", (4, 7), options={"filler": drawn})
        yield Case("shared", (2, 3, 5), options={"channel_shared": True})
        yield Case("five_axes", (2, 3, 1, 2, 2), options={"filler": drawn})
