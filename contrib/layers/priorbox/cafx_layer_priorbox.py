"""PriorBox: the prior boxes of a feature map (SSD)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text
from cafx_lib_ssd import PriorBoxParameter

if TYPE_CHECKING:
    from cafx.conformance import Case

SAME_RATIO = 1e-6
MOST_RATIO = 1e6
DEFAULT_VARIANCE = 0.1


class PriorBox(Layer):
    """Boxes around each cell of a feature map, in fractions of the image: (c ± s / 2) / image.

    The centre is c = (cell + offset) · step, in pixels. For each min_size m the sizes s = (width, height) are
    (m, m), then (√(m·M), √(m·M)) with its max_size M, then (m √r, m / √r) for each aspect ratio r, each followed
    by its inverse with ``flip``. m and M are cut to whole numbers. Ratios of 1, and those that came before, are
    left out.

    Bottoms: the feature map N×C×H×W; the image data, of which height and width matter. Top: 1×2×(H·W·n·4), n
    boxes per cell: first the coordinates (xmin, ymin, xmax, ymax), then the variances of each.
    Gradient: none.

    Raises:
        CafxError: a bottom is not an image; min_size is missing; sizes, variances, image size or step are not valid.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016; the SSD fork of Caffe.
    """

    Parameter = PriorBoxParameter
    options: PriorBoxParameter
    bottoms = 2
    forward_only = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the options and list the boxes of a cell."""
        image = self._pair("img_size", "img_h", "img_w")
        self.image = None if image is None else (int(image[0]), int(image[1]))
        self.step = self._pair("step", "step_h", "step_w")
        self.sizes = np.array([size for index in range(len(self._checked_sizes())) for size in self._sizes(index)])
        self.variances = self.options.variance or (DEFAULT_VARIANCE,)
        if len(self.variances) not in (1, 4):
            raise self.error("needs one variance or four", found=len(self.variances))

    def _pair(self, both: str, height: str, width: str) -> tuple[float, float] | None:
        """Height and width from an option for both or from one for each; None if neither is set."""
        values = {name: getattr(self.options, name) for name in (both, height, width) if self.options.has(name)}
        if not values:
            return None
        if set(values) not in ({both}, {height, width}):
            raise self.error(f"needs {both}, or {height} and {width}", found=", ".join(values))
        if min(values.values()) <= 0:
            found = ", ".join(f"{name}: {value:g}" for name, value in values.items())
            raise self.error("a size or step must be positive", found=found)
        return values.get(height, values.get(both)), values.get(width, values.get(both))

    def _checked_sizes(self) -> tuple[float, ...]:
        smallest, largest = self.options.min_size, self.options.max_size
        if not smallest or not all(1 <= size < math.inf for size in smallest):
            raise self.error("min_size must be given, in pixels", found=smallest or "none", expected="1 or more")
        if largest and len(largest) != len(smallest):
            raise self.error("needs one max_size per min_size", found=len(largest), expected=len(smallest))
        for low, high in zip(smallest, largest, strict=False):
            if not low < high < math.inf:
                raise self.error("max_size must exceed min_size", found=f"{high:g}", expected=f"more than {low:g}")
        return smallest

    def _sizes(self, index: int) -> Iterable[tuple[float, float]]:
        """Width and height of each box of one min_size."""
        smallest = int(self.options.min_size[index])
        yield smallest, smallest
        if self.options.max_size:
            side = math.sqrt(smallest * int(self.options.max_size[index]))
            yield side, side
        for ratio in self._ratios()[1:]:
            yield smallest * math.sqrt(ratio), smallest / math.sqrt(ratio)

    def _ratios(self) -> list[float]:
        """1, then the aspect ratios that differ from all before, with their inverses."""
        ratios = [1.0]
        for ratio in self.options.aspect_ratio:
            if not 1 / MOST_RATIO <= ratio <= MOST_RATIO:
                expected = f"from {1 / MOST_RATIO:g} to {MOST_RATIO:g}"
                raise self.error("aspect_ratio is out of range", found=f"{ratio:g}", expected=expected)
            if all(abs(ratio - other) >= SAME_RATIO for other in ratios):
                ratios += [ratio, 1 / ratio] if self.options.flip else [ratio]
        return ratios

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """1×2×(H·W·n·4); the boxes depend on shapes alone and are made here."""
        for blob in bottom:
            if blob.num_axes != 4:
                raise self.error(
                    f"bottom '{blob.name}' is not an image", found=shape_text(blob.shape), expected="N×C×H×W"
                )
        cells = bottom[0].shape[2:]
        top[0].reshape(1, 2, math.prod(cells) * len(self.sizes) * 4)
        boxes = self._boxes(cells, self.image or bottom[1].shape[2:])
        values = np.stack([boxes.reshape(-1), np.resize(self.variances, boxes.size)])[None]
        self.values = self.xp.asarray(values.astype(self.context.dtype))

    def _boxes(self, cells: tuple[int, ...], image: tuple[int, ...]) -> npt.NDArray[Any]:
        """Boxes of all cells: shape (H, W, n, 4)."""
        step = self.step or tuple(size / max(1, count) for size, count in zip(image, cells, strict=True))
        y, x = ((np.arange(count) + self.options.offset) * each for count, each in zip(cells, step, strict=True))
        centres = np.stack(np.meshgrid(x, y), axis=-1)[:, :, None]
        extent = np.array(image[::-1], np.float64)
        boxes = np.concatenate([(centres - self.sizes / 2) / extent, (centres + self.sizes / 2) / extent], axis=-1)
        return np.clip(boxes, 0, 1) if self.options.clip else boxes

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The boxes and their variances."""
        top[0].mutable_data[...] = self.values

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Sizes, ratios, variances, steps and image sizes."""
        from cafx.conformance import Case

        yield Case("square", (2, 3, 4, 5), (2, 3, 40, 60), options={"min_size": [8]})
        ratios = {"min_size": [8.9], "max_size": [20], "aspect_ratio": [2, 3, 0.5], "variance": [0.1, 0.1, 0.2, 0.2]}
        yield Case("ratios", (1, 2, 3, 3), (1, 3, 32, 32), options=ratios)
        unflipped = {"min_size": [4, 6], "max_size": [5, 9], "aspect_ratio": [2, 1, 2], "flip": False, "clip": True}
        yield Case("unflipped", (1, 1, 2, 3), (1, 1, 9, 9), options=unflipped)
        sides = {"min_size": [4], "img_h": 30, "img_w": 40, "step_h": 7, "step_w": 9.5, "offset": 0.25}
        yield Case("sides", (1, 1, 4, 4), (1, 1, 9, 9), options={**sides, "variance": 0.3})
        yield Case("side", (1, 1, 4, 4), (1, 1, 9, 9), options={"min_size": [4], "img_size": 32, "step": 8})
