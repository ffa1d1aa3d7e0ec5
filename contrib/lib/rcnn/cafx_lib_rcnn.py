"""Shared by layers of Fast R-CNN, Faster R-CNN and R-FCN: regions of interest and the smooth L1 loss."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from cafx.kernel import Blob, CafxError, Layer, LossLayer
from cafx.kernel.blob import shape_text


def smooth_l1(xp: Any, d: Any, sigma: float) -> Any:
    """f(d) = σ² d² / 2 where |d| < 1/σ², else |d| − 1/(2σ²), elementwise.

    Args:
        xp: array module.
        d: differences.
        sigma: σ, which must not be 0.

    Source: Girshick, "Fast R-CNN", ICCV 2015; σ from Ren et al., "Faster R-CNN", NIPS 2015.

    Example:
        >>> smooth_l1(np, np.array([0.5, -3.0]), 1.0).tolist()
        [0.125, 2.5]
    """
    square = sigma * sigma
    size = abs(d)
    quadratic = xp.minimum(size, 1 / square)
    size -= quadratic
    quadratic *= quadratic
    quadratic *= square / 2
    size += quadratic
    return size


def smooth_l1_slope(xp: Any, d: Any, sigma: float) -> Any:
    """f'(d) = σ² d where |d| < 1/σ², else the sign of d, elementwise; arguments as for `smooth_l1`.

    Example:
        >>> smooth_l1_slope(np, np.array([0.5, -3.0]), 1.0).tolist()
        [0.5, -1.0]
    """
    return xp.clip(d * (sigma * sigma), -1, 1)


def finite(value: float) -> str | None:
    """Check that an option is a finite number, see `cafx.kernel.option`."""
    return None if math.isfinite(value) else "a finite number"


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its trailing axes of length 1.

    Example:
        >>> without_ones((4, 1, 8, 1, 1))
        (4, 1, 8)
    """
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


class SmoothL1(LossLayer):
    """Base class of smooth L1 losses: L = Σ w₂ f(w₁ (x − t)) / divisor, f of `smooth_l1`.

    Bottoms, of one shape but for trailing axes of length 1: predictions x, targets t, optionally weights w₁ and
    w₂ (1 if there are none).
    A subclass sets the divisor in `reshape`.

    Attributes:
        sigma: σ.
        divisor: the divisor.
        chained: whether w₁ is a factor of the gradient; one that is 0 or 1 makes no difference.
    """

    integer_bottoms: ClassVar[tuple[int, ...]] = (2, 3)
    sigma = 1.0
    divisor: float = 1.0
    chained = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The loss is a scalar."""
        super().reshape(bottom, top)
        for blob, what in zip(bottom[1:], ("the targets", "the weights", "the outside weights"), strict=False):
            if without_ones(blob.shape) != without_ones(bottom[0].shape):
                self.require_shape(blob, bottom[0].shape, what)

    def without_default_weight(self, top: list[Blob]) -> None:
        """Make the tops plain outputs unless loss_weight is given; called in `setup`."""
        if not self.spec.loss_weight:
            self.spec.loss_weight.extend([0.0] * len(top))

    def losses(self, bottom: list[Blob]) -> Any:
        """w₂ f(w₁ (x − t)), elementwise; arguments as for `forward`."""
        losses = smooth_l1(self.xp, self._differences(bottom), self.sigma)
        for weights in bottom[3:]:
            losses *= weights.data.reshape(losses.shape)
        return losses

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = dL w₁ w₂ f'(w₁ (x − t)) / divisor, dt = −dx; 0 for the weights."""
        clear_gradients(bottom[2:], propagate_down[2:])
        if not any(propagate_down[:2]):
            return
        slope = smooth_l1_slope(self.xp, self._differences(bottom), self.sigma)
        slope *= self.loss_weight(top) / self.divisor
        for weights in bottom[2 if self.chained else 3 :]:
            slope *= weights.data.reshape(slope.shape)
        for blob, needed, sign in zip(bottom[:2], propagate_down, (1, -1), strict=False):
            if needed:
                self.xp.multiply(slope.reshape(blob.shape), sign, out=blob.mutable_diff)

    def _differences(self, bottom: list[Blob]) -> Any:
        differences = bottom[0].data - bottom[1].data.reshape(bottom[0].shape)
        for weights in bottom[2:3]:
            differences *= weights.data.reshape(differences.shape)
        return differences


def clear_gradients(bottom: list[Blob], propagate_down: list[bool]) -> None:
    """Set gradients to 0: those of regions, targets and weights, which the forks do not differentiate.

    Args:
        bottom: the inputs.
        propagate_down: for each of them, whether its gradient is needed.
    """
    for blob, needed in zip(bottom, propagate_down, strict=True):
        if needed:
            blob.synced_diff.zero()


class Constant(Layer):
    """Base class of layers whose tops count as constants: the gradients of their bottoms are 0."""

    forward_only = True

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = 0."""
        clear_gradients(bottom, propagate_down)


class Regions:
    """The regions of interest of a pooling layer: rows (image, x1, y1, x2, y2) in pixels of the network's input.

    Args:
        layer: the layer that pools.
        bottom: features N×C×H×W, and regions R×5 or R×5×1×1.

    Attributes:
        shape: (N, C, H, W).
        count: R.

    Raises:
        CafxError: the features do not have four axes, or the regions not five values each.
    """

    def __init__(self, layer: Layer, bottom: list[Blob]) -> None:
        features, regions = bottom[0].shape, bottom[1].shape
        if len(features) != 4:
            raise layer.error("the features need four axes", found=shape_text(features), expected="N×C×H×W")
        if regions[1:2] != (5,) or any(length != 1 for length in regions[2:]):
            raise layer.error("a region has five values", found=shape_text(regions), expected="R×5")
        self.layer, self.shape, self.count = layer, features, regions[0]

    def read(self, bottom: list[Blob]) -> tuple[Any, Any]:
        """Image indices, R, and corners x1, y1, x2, y2 in float32, 4×R; a coordinate that is NaN reads as 0.

        Args:
            bottom: features and regions.

        Raises:
            CafxError: an image index is not in the batch; on a device it is raised where results are read.
        """
        layer, images = self.layer, self.shape[0]
        rows = bottom[1].data.reshape(self.count, 5)

        def error(lowest: float, highest: float) -> CafxError:
            found, expected = f"{lowest:g} to {highest:g}", f"0 to {images - 1}"
            return layer.error("a region's image is not in the batch", found=found, expected=expected)

        index = layer.context.checks.indices(rows[:, 0], images, error, f"{layer.name}: images of regions")
        corners = rows[:, 1:].T.astype(np.float32)
        return index, layer.xp.where(corners == corners, corners, np.float32(0))


def round_away(xp: Any, values: Any) -> Any:
    """The nearest whole number, halves away from zero: C's ``round``.

    Example:
        >>> round_away(np, np.float32([0.5, -2.5, 0.49999997])).tolist()
        [1.0, -3.0, 0.0]
    """
    size = abs(values)
    whole = xp.floor(size)
    with np.errstate(invalid="ignore"):  # infinity stays
        whole += size - whole >= 0.5
    return xp.copysign(whole, values)


def bins(xp: Any, start: Any, size: Any, count: int, limit: int, offset: Any = 0) -> tuple[Any, Any]:
    """First and last position of each of ``count`` equal parts of some intervals, in float32 as the forks compute it.

    Args:
        xp: array module.
        start: where each interval begins, R; bin i reaches from ⌊i b + start⌋ + offset to ⌈(i + 1) b + start⌉ + offset.
        size: b, the length of a bin, R.
        count: number of bins.
        limit: positions are clipped to 0 … limit.
        offset: whole numbers added after rounding, R.

    Returns:
        Begin and end (exclusive), R×count, int64.
    """
    steps = xp.arange(count + 1, dtype=np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # a region that is not finite has its bins at 0
        edges = steps * size[:, None] + start[:, None]
        offset = offset[:, None] if np.ndim(offset) else offset
        begin, end = xp.floor(edges[:, :-1]) + offset, xp.ceil(edges[:, 1:]) + offset
    return _clipped(xp, begin, limit), _clipped(xp, end, limit)


def _clipped(xp: Any, positions: Any, limit: int) -> Any:
    return xp.clip(xp.where(positions == positions, positions, 0), 0, limit).astype(np.int64)
