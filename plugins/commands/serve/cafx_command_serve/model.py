"""The net that is served: inputs to scores or boxes, in batches."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import HOST, CafxError, Net
from cafx_lib_inputs import Scorer
from cafx_lib_preprocessing import Converter, Preprocessing

Array = npt.NDArray[Any]
BOX = 7
"""Values of a row of DetectionOutput: image, class, score, and two corners as parts of the input."""
AXES = 4
MOST, TRIALS, MARGIN = 16, 3, 1.05
"""The largest batch that is tried, passes of each, and how much faster a larger batch has to be."""


@attrs.frozen
class Box:
    """A detection.

    Attributes:
        number, label: the class.
        score: its score.
        corners: xmin, ymin, xmax, ymax in pixels of the image.
    """

    number: int
    label: str
    score: float
    corners: tuple[float, float, float, float]


class Model:
    """A net at several batch sizes, which share their parameters: a net is compiled for each size once.

    Args:
        build: builds the net.
        preprocessing: what happens to images.
        output: the blob with scores or boxes; None for the last output.
        most: the largest batch; None to try sizes up to `MOST` and keep those that are worth it: on a processor, a
            large batch may be slower, since it does not fit its caches.

    Raises:
        CafxError: the net has no input of images, or neither scores nor boxes for them.

    Attributes:
        preprocessing: the record, with what the net's input decides.
        detects: whether the net gives boxes, as SSD's DetectionOutput does.
        classes: number of classes; 0 if it detects.
        labels: names of the classes; None for none.
        rates: images per second by batch size, as far as they were tried.
        sizes: size of the next pass by number of inputs that are left.
    """

    def __init__(
        self, build: Callable[[], Net], preprocessing: Preprocessing, output: str | None = None, most: int | None = None
    ) -> None:
        first = build()
        scorer = Scorer(first, preprocessing, output)
        self.name, self.input, self.output = first.name, scorer.input, scorer.output
        self.preprocessing = scorer.preprocessing
        self.converter = Converter(self.preprocessing)
        self.shape = tuple(first.blobs[self.input].shape[1:])
        largest = most or MOST
        sizes = [1 << power for power in range(largest.bit_length()) if 1 << power < largest] + [largest]
        self.nets = {size: first if size == 1 else _sharing(build(), first) for size in sizes}
        shapes = {size: self._forward(size, ()).shape for size in sizes}
        shape = shapes[1]
        self.detects = len(shape) == AXES and shape[-1] == BOX and shape[:2] == (1, 1)
        if not self.detects and any(not shape or shape[0] != size for size, shape in shapes.items()):
            found = "×".join(map(str, shape)) or "one number"
            raise CafxError(f"output '{self.output}' has no score per image", where=self.name, found=found)
        self.classes = 0 if self.detects else int(np.prod(shape[1:]))
        self.labels = self.preprocessing.names(None if self.detects else self.classes)
        self.rates = {} if most else {size: self._rate(size) for size in sizes}
        self._keep_worthwhile()
        self.sizes = self._sizes()

    @functools.cached_property
    def longest(self) -> float:
        """Seconds of a pass of the largest batch."""
        size = max(self.nets)
        return size / (self.rates.get(size) or self._rate(size))

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The scores of each input (C×H×W); or its boxes, as rows of class, score and two corners."""
        found: list[Array] = []
        while len(found) < len(inputs):
            size = self.sizes[min(len(inputs) - len(found), len(self.sizes) - 1)]
            part = inputs[len(found) : len(found) + size]
            values = self._forward(size, part)
            if self.detects:
                rows = values.reshape(-1, BOX)
                found += [rows[rows[:, 0] == number][:, 1:] for number in range(len(part))]
            else:
                found += list(values.reshape(size, -1)[: len(part)])
        return found

    def scores(self, results: Sequence[Array]) -> Array:
        """The scores of an image, from those of its crops."""
        return np.mean(results, axis=0)

    def boxes(self, rows: Array, size: tuple[int, int], threshold: float) -> list[Box]:
        """The detections in an image, the best first.

        Args:
            rows: class, score and corners.
            size: height and width of the image.
            threshold: least score.
        """
        record = self.preprocessing
        crop = record.crop or size
        height, width = record.size or crop
        top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
        scale, shift = np.array([crop[1], crop[0]] * 2), np.array([left, top] * 2)
        most = np.array([size[1], size[0]] * 2)
        found = []
        for number, score, *corners in rows[np.argsort(-rows[:, 1], kind="stable")]:
            if score >= threshold and number >= 0:
                pixels = np.clip((np.array(corners) * scale + shift) / np.array([width, height] * 2), 0, 1) * most
                label = self.label(int(number))
                found.append(Box(int(number), label, float(score), tuple(map(float, pixels))))  # type: ignore[arg-type]
        return found

    def label(self, number: int) -> str:
        """The name of a class."""
        return self.labels[number] if self.labels and 0 <= number < len(self.labels) else str(number)

    def close(self) -> None:
        """Close the nets."""
        for net in self.nets.values():
            net.close()

    def _rate(self, size: int) -> float:
        best = float("inf")
        for _ in range(TRIALS):
            begin = time.perf_counter()
            self._forward(size, ())
            best = min(best, time.perf_counter() - begin)
        return size / best

    def _keep_worthwhile(self) -> None:
        """Close the nets of sizes above the fastest; a larger one is faster if it is so by a margin."""
        fastest = min(self.nets)
        for size, rate in self.rates.items():
            fastest = size if rate > MARGIN * self.rates[fastest] else fastest
        for size in [size for size in self.rates if size > fastest]:
            self.nets.pop(size).close()

    def _sizes(self) -> list[int]:
        """The size of the next pass for each number of inputs: that with which all are done soonest."""
        seconds, chosen = [0.0], [0]
        for count in range(1, max(self.nets) + 1):
            costs = {
                size: size / self.rates.get(size, size) + seconds[max(0, count - size)] for size in self.nets
            }  # without rates, each pass costs the same
            best = min(costs, key=lambda size: (costs[size], size))
            seconds.append(costs[best])
            chosen.append(best)
        return chosen

    def _forward(self, size: int, inputs: Sequence[Array]) -> Array:
        """The output for up to ``size`` inputs, and zeros behind them."""
        net = self.nets[size]
        blob = net.blobs[self.input]
        blob.reshape(size, *self.shape)
        blob.synced_data.discard()
        images = blob.synced_data.write(HOST).reshape(blob.shape)
        for image, values in zip(images, inputs, strict=False):
            image[...] = values
        images[len(inputs) :] = 0
        return np.asarray(net.forward()[self.output], np.float32)


def _sharing(net: Net, first: Net) -> Net:
    net.share_with(first)
    return net
