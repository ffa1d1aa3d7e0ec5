"""Normalize: division by the L2 norm, and a learned scale."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, FillerParameter, Layer, Message, at_least, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("norm_param", 206)
class NormalizeParameter(Message):
    """Options of Normalize."""

    across_spatial: bool = option(1, "bool", True, doc="one norm per image; false: one per position, over channels")
    scale_filler: FillerParameter = option(2, FillerParameter, doc="initialiser of the scale (default: constant 1)")
    channel_shared: bool = option(3, "bool", True, doc="one scale; false: one per channel")
    eps: float = option(4, "float", 1e-10, doc="added to the sum of squares", check=at_least(0))


class Normalize(Layer):
    """L2 normalisation: y = s · x / r with r = √(Σ x² + eps).

    Bottom: shape N×C×…; the sum runs over C×…, or over C only if ``across_spatial`` is false.
    Top: the same shape; without eps, zeros give NaN.
    Parameter: the scale s, a scalar, or with ``channel_shared: false`` C values.
    Gradients: dx = s · (dy − x Σ x dy / r²) / r, ds = Σ dy x / r. As in the fork, the scale stands outside of
    the sum: with scales that differ between channels, dx is not the exact derivative, which has Σ s x dy.

    Raises:
        CafxError: the bottom has less than two axes, or its channels have changed since setup.

    Source: Liu et al., "ParseNet: Looking Wider to See Better", 2015; the layer is from the SSD fork of Caffe.
    """

    Parameter = NormalizeParameter
    options: NormalizeParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the scale."""
        options = self.options
        if bottom[0].num_axes < 2:
            found = shape_text(bottom[0].shape)
            raise self.error("the bottom needs a batch and a channel axis", found=found, expected="N×C or N×C×…")
        one = FillerParameter(type="constant", value=1)
        shape = () if options.channel_shared else bottom[0].shape[1:2]
        self.add_parameter(shape, options.scale_filler if options.has("scale_filler") else one)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        shape, scales = bottom[0].shape, self.blobs[0].shape
        if len(shape) < 2 or scales not in ((), shape[1:2]):
            found, expected = shape_text(shape), f"N×{scales[0] if scales else 'C'}×…"
            raise self.error("the bottom does not match the scale", found=found, expected=expected)
        top[0].reshape(*shape)
        self.images = (shape[0], shape[1], bottom[0].count(2))

    def _dot(self, first: Any, second: Any) -> Any:
        """The sum of products over what shares a norm; shape N×1×1 or N×1×positions."""
        if self.options.across_spatial:
            rows, values = self.images[0], self.images[1] * self.images[2]
            return self.xp.matmul(first.reshape(rows, 1, values), second.reshape(rows, values, 1))
        return self._summed(first, second, "ncs,ncs->ns", 1)[:, None]

    def _summed(self, first: Any, second: Any, subscripts: str, axes: int | tuple[int, ...]) -> Any:
        """The sum of products over axes; on the host without an array of the products."""
        if self.xp is np:
            return np.einsum(subscripts, first, second)
        return (first * second).sum(axis=axes)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = s · x / r; 1 / r is kept."""
        x, y = bottom[0].data.reshape(self.images), top[0].mutable_data.reshape(self.images)
        self.inverse = 1 / self.xp.sqrt(self._dot(x, x) + self.options.eps)
        self.xp.multiply(x, self.inverse, out=y)
        y *= self.blobs[0].data.reshape(-1, 1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = s · (dy / r − x Σ x dy / r³), ds += Σ x dy / r."""
        x, dy = bottom[0].data.reshape(self.images), top[0].diff.reshape(self.images)
        normalised = self.workspace(self.images)
        self.xp.multiply(dy, self.inverse, out=normalised)
        if self.param_propagate_down[0]:
            gradient = self._summed(x, normalised, "ncs,ncs->c", (0, 2))
            self.blobs[0].mutable_diff[...] += gradient.sum() if self.options.channel_shared else gradient
        if propagate_down[0]:
            dx = bottom[0].mutable_diff.reshape(self.images)
            self.xp.multiply(x, self._dot(x, normalised) * self.inverse * self.inverse, out=dx)
            self.xp.subtract(normalised, dx, out=dx)
            dx *= self.blobs[0].data.reshape(-1, 1)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both kinds of norm with both kinds of scale; two to five axes."""
        from cafx.conformance import Case

        twenty, random = {"type": "constant", "value": 20}, {"type": "uniform", "min": 0.5, "max": 2}
        fork = {"gradient-bottoms": "as in the fork, scales that differ stay outside of the sum"}
        ssd = {"across_spatial": False, "channel_shared": False}
        yield Case("default", (2, 3, 4, 5))
        yield Case("ssd", (2, 4, 3, 3), options={**ssd, "scale_filler": twenty})
        yield Case("scales_that_differ", (2, 4, 3), options={**ssd, "scale_filler": random}, skip=fork)
        yield Case("vectors", (3, 5), options={"channel_shared": False, "eps": 0.1})
        yield Case("per_position", (2, 3, 1, 2, 2), options={"across_spatial": False, "scale_filler": random})
