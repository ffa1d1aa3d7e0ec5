"""Axpy: a blob scaled per channel and image, plus another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


class Axpy(Layer):
    """Scaled sum: y[n, c, …] = a[n, c] · x[n, c, …] + z[n, c, …].

    Bottoms: a of shape N×C, or N×C×1×1 and the like; x and z, both N×C×…. Top: the shape of x.
    Gradients: da = Σ dy x over positions, dx = a dy, dz = dy.

    Raises:
        CafxError: a does not have one value per image and channel, or x and z differ in shape.

    Source: Hu et al., "Squeeze-and-Excitation Networks", 2018; the layer is from hujie-frank/SENet.
    """

    bottoms = 3

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the shape of x."""
        factors, shape = bottom[0].shape, bottom[1].shape
        if len(shape) < 2 or factors != shape[:2] + (1,) * (len(factors) - 2):
            expected = f"{shape_text(shape[:2])}, with or without ones behind" if len(shape) > 1 else "N×C, and x N×C×…"
            raise self.error("one factor per image and channel is needed", found=shape_text(factors), expected=expected)
        self.require_shape(bottom[2], shape, f"bottom '{bottom[2].name}'")
        top[0].reshape(*shape)
        self.images = (shape[0], shape[1], bottom[1].count(2))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = a x + z."""
        factors, x = bottom[0].data.reshape(*self.images[:2], 1), bottom[1].data.reshape(self.images)
        y = top[0].mutable_data.reshape(self.images)
        self.xp.multiply(x, factors, out=y)
        y += bottom[2].data.reshape(self.images)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """da = Σ dy x, dx = a dy, dz = dy."""
        dy = top[0].diff.reshape(self.images)
        if propagate_down[0]:
            x, positions = bottom[1].data.reshape(-1, 1, self.images[2]), dy.reshape(-1, self.images[2], 1)
            self.xp.matmul(x, positions, out=bottom[0].mutable_diff.reshape(-1, 1, 1))
        if propagate_down[1]:
            factors = bottom[0].data.reshape(*self.images[:2], 1)
            self.xp.multiply(dy, factors, out=bottom[1].mutable_diff.reshape(self.images))
        if propagate_down[2]:
            bottom[2].mutable_diff[...] = top[0].diff

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Factors with and without axes of length one; two to five axes."""
        from cafx.conformance import Case

        yield Case("images", (2, 3, 1, 1), (2, 3, 4, 5), (2, 3, 4, 5))
        yield Case("flat_factors", (2, 3), (2, 3, 4, 5), (2, 3, 4, 5))
        yield Case("vectors", (3, 4), (3, 4), (3, 4))
        yield Case("five_axes", (2, 3, 1), (2, 3, 1, 2, 2), (2, 3, 1, 2, 2))
