"""PSROIPooling: position-sensitive averages over bins in each region of interest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Layer, Message, Phase, above, message, option
from cafx_layer_psroipooling.parts import parts_of
from cafx_lib_rcnn import Regions, bins, clear_gradients, finite, round_away

if TYPE_CHECKING:
    from cafx.conformance import Case

SMALLEST = 0.1
"""Least width and height of a region, in pixels of the features."""


@message("psroi_pooling_param", 10001)
class PSROIPoolingParameter(Message):
    """Options of PSROIPooling."""

    spatial_scale: float = option(
        1, "float", required=True, doc="pixels of the features per pixel of the regions", check=finite
    )
    output_dim: int = option(2, "int32", required=True, doc="number of channels of the top", check=above(0))
    group_size: int = option(3, "int32", required=True, doc="g: a region has g×g bins", check=above(0))


class PSROIPooling(Layer):
    """Averages over g×g bins of each region, each from its own channel: y[r, c, i, j] = mean x[n_r, (c g + i) g + j].

    Bottoms: features x, N×(output_dim·g·g)×H×W; regions R×5 (or R×5×1×1) with rows (n, x1, y1, x2, y2), in
    pixels of the network's input. Top: R×output_dim×g×g.
    A region's corners are rounded, halves away from zero, and then scaled by ``spatial_scale``, the second
    one after adding 1; width and height are at least 0.1. Bin j reaches from ⌊j b + x1⌋ to ⌈(j + 1) b + x1⌉
    with b the width divided by g, in float32, clipped to the image; likewise for rows. An empty bin is 0.
    Gradient: dx is the sum of dy / size over the bins that contain x. That of the regions is 0.

    Raises:
        CafxError: an option is missing or not positive, the number of channels is not output_dim·g·g, a shape is not
            valid, or a region's image is not in the batch.

    Source: Dai et al., "R-FCN: Object Detection via Region-based Fully Convolutional Networks", NIPS 2016.
    """

    Parameter = PSROIPoolingParameter
    options: PSROIPoolingParameter
    bottoms = 2
    integer_bottoms = (1,)
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that all options are given."""
        for field in self.options.__options__:
            if not self.options.has(field):
                raise self.error(f"{field} is missing", expected=f"psroi_pooling_param {{ {field}: … }}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has g×g averages per region and output channel."""
        dim, group = self.options.output_dim, self.options.group_size
        self.regions = Regions(self, bottom)
        if self.regions.shape[1] != dim * group * group:
            expected = f"output_dim · group_size² = {dim * group * group}"
            raise self.error("wrong number of channels", found=self.regions.shape[1], expected=expected)
        top[0].reshape(self.regions.count, dim, group, group)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the average of each bin."""
        xp, (_, _, height, width), per_region = self.xp, self.regions.shape, self.options.group_size**2
        y = top[0].mutable_data.reshape(self.regions.count, self.options.output_dim, per_region)
        y[...] = 0
        x = self._by_output(bottom[0].data)
        most = self.context.buffer_values // self.options.output_dim
        self.parts = parts_of(xp, self._rectangles(bottom), per_region, (height, width), most)
        for part in self.parts:
            sums = xp.add.reduceat(xp.take(x, part.positions, axis=1), part.starts, axis=1)
            y[part.regions, :, part.bins] = (sums / part.sizes.astype(y.dtype)).T

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = Σ dy / size."""
        clear_gradients(bottom[1:], propagate_down[1:])
        if not propagate_down[0]:
            return
        xp, (_, channels, height, width), dim = self.xp, self.regions.shape, self.options.output_dim
        planes = channels // dim * height * width
        dy = top[0].diff.reshape(self.regions.count, dim, self.options.group_size**2)
        dx = bottom[0].mutable_diff
        dx[...] = 0
        outputs = xp.arange(dim)[:, None] * planes
        for part in self.parts:
            share = (dy[part.regions, :, part.bins] / part.sizes[:, None].astype(dy.dtype)).T
            spread = xp.take(share, part.owners, axis=1)
            image, position = part.positions // planes, part.positions % planes
            at = outputs + (image * (dim * planes) + position)
            xp.add.at(dx.reshape(-1), at.reshape(-1), spread.reshape(-1))

    def _by_output(self, x: Any) -> Any:
        """x as output_dim×(N·g·g·H·W)."""
        (images, channels, height, width), dim = self.regions.shape, self.options.output_dim
        planes = channels // dim * height * width
        by_output = self.xp.ascontiguousarray(x.reshape(images, dim, planes).transpose(1, 0, 2))
        return by_output.reshape(dim, images * planes)

    def _rectangles(self, bottom: list[Blob]) -> Any:
        """Image, first row, last row, first column and last column of each bin, 5×(R·g·g)."""
        xp, options, group = self.xp, self.options, self.options.group_size
        height, width = self.regions.shape[2:]
        image, corners = self.regions.read(bottom)
        whole = round_away(xp, corners)
        whole[2:] += 1
        left, upper, right, lower = whole * np.float32(options.spatial_scale)
        smallest = np.float32(SMALLEST)
        top, end = bins(xp, upper, xp.maximum(lower - upper, smallest) / np.float32(group), group, height)
        first, last = bins(xp, left, xp.maximum(right - left, smallest) / np.float32(group), group, width)
        shape = (self.regions.count, group, group)
        rows, columns = (top[:, :, None], end[:, :, None]), (first[:, None, :], last[:, None, :])
        every = [xp.broadcast_to(each, shape).reshape(-1) for each in (image[:, None, None], *rows, *columns)]
        return xp.stack(every)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One and several bins, several images, regions across and beyond the border, and tiny ones."""
        from cafx.conformance import Case, values

        regions = [[0, 0, 0, 7, 5], [0, 2, 1, 3, 4], [0, -4, -3, 20, 9], [0, 6, 5, 2, 1]]
        both = [[1, 1, 2, 13, 9.0], [0, 3, 3, 6, 6.0], [1, 40, 2, 50, 3.0], [1, 2.5, 0.5, 15, 0]]
        half = {"spatial_scale": 0.5, "output_dim": 2, "group_size": 2}
        yield Case("images", (2, 8, 5, 8), values(both), options=half)
        nine = {"spatial_scale": 1.0, "output_dim": 1, "group_size": 3}
        yield Case("nine_bins", (1, 9, 6, 8), values(np.reshape(regions, (4, 5, 1, 1))), options=nine)
        one = {"spatial_scale": 0.25, "output_dim": 3, "group_size": 1}
        yield Case("one_bin", (1, 3, 4, 4), values(regions), options=one, phase=Phase.TEST)
