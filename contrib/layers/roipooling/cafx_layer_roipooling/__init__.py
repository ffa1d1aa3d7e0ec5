"""ROIPooling: maxima over a grid of bins in each region of interest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, Layer, Message, Phase, above, message, option
from cafx_layer_roipooling.maxima import Keys, RangeMaxima, grids
from cafx_lib_rcnn import Regions, clear_gradients, finite

if TYPE_CHECKING:
    from cafx.conformance import Case

PART = 8
"""Which fraction of the usual buffer a part takes: several arrays of its size fit in the cache."""

__all__ = ["ROIPooling", "ROIPoolingParameter"]


@message("roi_pooling_param", 8266711)
class ROIPoolingParameter(Message):
    """Options of ROIPooling."""

    pooled_h: int = option(1, "uint32", 0, doc="number of bins from top to bottom", check=above(0))
    pooled_w: int = option(2, "uint32", 0, doc="number of bins from left to right", check=above(0))
    spatial_scale: float = option(3, "float", 1.0, doc="pixels of the features per pixel of the regions", check=finite)


class ROIPooling(Layer):
    """Maxima over a grid of bins in each region of interest: y[r, c, i, j] = max x[n_r, c, h, w] over bin (i, j).

    Bottoms: features x, N×C×H×W; regions R×5 (or R×5×1×1) with rows (n, x1, y1, x2, y2), in pixels of the
    network's input. Top: R×C×pooled_h×pooled_w.
    A region's corners are scaled by ``spatial_scale`` and rounded, halves away from zero; it is x2 − x1 + 1
    wide, at least 1. Bin j reaches from ⌊j b⌋ to ⌈(j + 1) b⌉ with b the width divided by ``pooled_w``, in
    float32, clipped to the image; likewise for rows. A bin outside the image is 0.
    Gradient: dx is the sum of dy over the bins whose maximum is at x: of equal values, the first in row order.
    That of the regions is 0.

    Raises:
        CafxError: ``pooled_h`` or ``pooled_w`` is missing, a shape is not valid, or a region's image is not in
            the batch.

    Source: Girshick, "Fast R-CNN", ICCV 2015; its fork of Caffe.

    Read by engines:
        bounds: of the bottoms, the bins of each region.
    """

    Parameter = ROIPoolingParameter
    options: ROIPoolingParameter
    bottoms = 2
    integer_bottoms = (1,)
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that the numbers of bins are given."""
        for field in ("pooled_h", "pooled_w"):
            if not self.options.has(field):
                raise self.error(f"{field} is missing", expected=f"roi_pooling_param {{ {field}: … }}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has a grid of bins per region and channel."""
        self.regions = Regions(self, bottom)
        top[0].reshape(self.regions.count, self.regions.shape[1], self.options.pooled_h, self.options.pooled_w)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the maximum of each bin, whose position is kept for backward in TRAIN phase."""
        y = top[0].mutable_data
        self.positions: Any = None
        if not bottom[0].count():  # all bins are outside an image without pixels
            y[...] = 0
            return
        if self.phase == Phase.TRAIN:
            self._find(bottom, y.shape)
            self.xp.take(bottom[0].data.reshape(-1), self.positions, out=y)
        else:
            x = self.xp.ascontiguousarray(bottom[0].data.transpose(0, 2, 3, 1))
            maxima = self._maxima(bottom, x)
            for part in self._parts(y.shape):
                y[part] = maxima.take(part).transpose(0, 3, 1, 2)
        self._clear_empty(y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Add dy to dx where the maxima are."""
        clear_gradients(bottom[1:], propagate_down[1:])
        if not propagate_down[0] or not bottom[0].count():
            return
        dy = top[0].diff
        if self.positions is None:
            self._find(bottom, dy.shape)
        if not self.full:
            dy = self._clear_empty(dy.copy())
        dx = bottom[0].mutable_diff
        dx[...] = 0
        self.xp.add.at(dx.reshape(-1), self.positions.reshape(-1), dy.reshape(-1))

    def bounds(self, bottom: list[Blob]) -> tuple[Any, tuple[Any, Any], tuple[Any, Any]]:
        """Image of each region, R; first and end of its bins' rows, R×pooled_h each, and columns, R×pooled_w each."""
        options, (image, corners) = self.options, self.regions.read(bottom)
        scaled = corners * np.float32(options.spatial_scale)
        return image, *grids(self.xp, scaled, self.regions.shape[2:], (options.pooled_h, options.pooled_w))

    def _maxima(self, bottom: list[Blob], values: Any) -> RangeMaxima:
        """Maxima of ``values``, N×H×W×C, over the bins of all regions."""
        maxima = RangeMaxima(self.xp, values, *self.bounds(bottom))
        self.filled, self.full = maxima.filled, bool(maxima.filled.all())
        return maxima

    def _find(self, bottom: list[Blob], shape: tuple[int, ...]) -> None:
        """Find the flat index in x of each bin's maximum; any index for an empty bin."""
        xp, (_, channels, height, width) = self.xp, self.regions.shape
        keys = Keys(xp, bottom[0].data)
        maxima = self._maxima(bottom, keys.values)
        self.positions = xp.empty(shape, np.int64)
        planes = self.regions.read(bottom)[0][:, None] * channels + xp.arange(channels)
        planes = (planes * (height * width))[:, :, None, None]
        for part in self._parts(shape):
            found = keys.position(maxima.take(part)).transpose(0, 3, 1, 2)
            xp.add(found, planes[part], out=self.positions[part])

    def _parts(self, shape: tuple[int, ...]) -> Iterator[slice]:
        """Slices of regions that suit the temporary buffers."""
        step = max(1, self.context.buffer_values // PART // max(1, math.prod(shape[1:])))
        return (slice(first, first + step) for first in range(0, shape[0], step))

    def _clear_empty(self, y: Any) -> Any:
        """Write 0 to empty bins."""
        if not self.full:
            y[...] = self.xp.where(self.filled[:, None], y, 0)
        return y

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Bins smaller and larger than regions, several images, regions across and beyond the border."""
        from cafx.conformance import Case, distinct, values

        regions = [[0, 0, 0, 7, 5], [0, 2, 1, 3, 4], [0, -4, -3, 20, 9], [0, 6, 5, 2, 1]]
        both = [[1, 1, 2, 13, 9], [0, 3, 3, 6, 6], [1, 40, 2, 50, 3], [1, 0, 0, 15, 0]]
        size = {"pooled_h": 2, "pooled_w": 3}
        yield Case("images", distinct((2, 3, 5, 8)), values(both), options={**size, "spatial_scale": 0.5})
        yield Case("one_bin", distinct((1, 2, 6, 8)), values(regions), options={"pooled_h": 1, "pooled_w": 1})
        yield Case("small_bins", distinct((1, 2, 6, 8)), values(regions), options={"pooled_h": 7, "pooled_w": 5})
        column = values(np.reshape(regions, (4, 5, 1, 1)))
        yield Case("test", distinct((1, 1, 6, 8)), column, options=size, phase=Phase.TEST)
