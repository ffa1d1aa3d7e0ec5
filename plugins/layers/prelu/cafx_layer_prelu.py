"""PReLU: rectified linear unit with learned slopes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, FillerParameter, Message, NeuronLayer, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


INITIAL_SLOPE = 0.25


@message("prelu_param", 131)
class PReLUParameter(Message):
    """Options of PReLU."""

    filler: FillerParameter = option(1, FillerParameter, doc="initialiser of the slopes (default: all 0.25)")
    channel_shared: bool = option(2, "bool", False, doc="one slope for all channels")


class PReLU(NeuronLayer):
    """Parametric rectified linear unit: y = max(x, 0) + a_c · min(x, 0), with c the channel of x.

    Bottom: shape N×C×…. Top: the same shape; may be computed in place. Parameter: the slopes a, of
    shape C, or a scalar with ``channel_shared``.
    Gradients: dx = dy where x > 0, else a_c · dy; da_c = Σ dy · min(x, 0).

    Raises:
        CafxError: the bottom has fewer than two axes, or its number of channels has changed since setup.

    Source: He et al., "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet
    Classification", 2015.
    """

    Parameter = PReLUParameter
    options: PReLUParameter
    kinks = (0.0,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the slopes."""
        if bottom[0].num_axes < 2:
            raise self.error(
                "the bottom has no channel axis", found=f"{bottom[0].num_axes} axes", expected="2 or more axes"
            )
        options = self.options
        constant = FillerParameter(type="constant", value=INITIAL_SLOPE)
        filler = options.filler if options.has("filler") else constant
        self.add_parameter(() if options.channel_shared else (bottom[0].shape[1],), filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        super().reshape(bottom, top)
        if not self.options.channel_shared:
            self.require_shape(self.blobs[0], bottom[0].shape[1:2], "the slopes (one per channel)")
        self.slopes_shape = (1, -1, *(1,) * (bottom[0].num_axes - 2))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = max(x, 0) + a · min(x, 0)."""
        x = bottom[0].data
        self.kept = x.copy() if top[0] is bottom[0] else None
        slopes = self.blobs[0].data.reshape(self.slopes_shape)
        below = slopes * self.xp.minimum(x, 0)
        y = self.xp.maximum(x, 0, out=top[0].mutable_data)
        y += below

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """da += Σ dy · min(x, 0); dx = dy where x > 0, else a · dy."""
        x, dy = bottom[0].data if self.kept is None else self.kept, top[0].diff
        if self.param_propagate_down[0]:
            axes = tuple(i for i in range(x.ndim) if i != 1 or self.options.channel_shared)
            self.blobs[0].mutable_diff[...] += (dy * self.xp.minimum(x, 0)).sum(axis=axes)
        if propagate_down[0]:
            slopes = self.blobs[0].data.reshape(self.slopes_shape)
            positive = x > 0
            below = slopes * (dy * ~positive)
            dx = self.xp.multiply(dy, positive, out=bottom[0].mutable_diff)
            dx += below

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One slope per channel and a shared one; two to five axes."""
        from cafx.conformance import Case

        gaussian = {"type": "gaussian", "mean": 0.2, "std": 0.3}
        yield Case("plain", (2, 3, 4, 5))
        yield Case("gaussian", (4, 7), options={"filler": gaussian})
        yield Case("shared", (2, 3, 5), options={"channel_shared": True})
        yield Case("five_axes", (2, 3, 1, 2, 2), options={"filler": gaussian})
