"""Source of layers that read images and their labels from files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx.kernel.net import Streams
from cafx_lib_feed.images import cv2, decode, read_bytes
from cafx_lib_feed.lists import missing_image
from cafx_lib_feed.order import Order
from cafx_lib_feed.prefetch import Batch, Source
from cafx_lib_segmented.lists import read_pairs
from cafx_lib_segmented.transform import JointTransformer

Image = npt.NDArray[Any]
PIXEL, IMAGE, NONE = "PIXEL", "IMAGE", "NONE"
MAX_LABEL = 255
Fetched = tuple[list[int], np.random.Generator]


class SegmentedSource(Source):
    """Batches of images N×C×H×W, of labels N×1×H×W and of sizes N×1×1×2, in the order of a list or shuffled.

    Args:
        options: source, batch_size, shuffle, rand_skip, new_height, new_width, is_color and root_folder.
        streams: random streams.
        name: the layer's name, which names its streams.
        steps: the transformation.
        tops: how many of these arrays a batch has.
        kind: what is beside an image in the list: PIXEL, the path of an image of labels; IMAGE, the label of
            all its pixels; NONE, nothing, so that they have ``steps.padding``.

    Attributes:
        shapes: the shapes of the first batch.

    Raises:
        CafxError: the list or its first image cannot be read, or rand_skip is larger than the list.
    """

    def __init__(
        self, options: Any, streams: Streams, name: str, steps: JointTransformer, tops: int, kind: str = PIXEL
    ) -> None:
        self.options, self.streams, self.name, self.steps = options, streams, name, steps
        self.batch_size = options.batch_size
        self.tops, self.kind = tops, kind
        self.lines = read_pairs(options.source, kind != NONE)
        self.epoch = len(self.lines)
        if options.rand_skip > len(self.lines):
            expected = f"at most {len(self.lines)}"
            raise CafxError("rand_skip is larger than the list", found=options.rand_skip, expected=expected)
        self.seek(0)
        image, labels = self.pair(int(self._order.numbers(0, 1)[0]))
        self.shapes = self._shapes(image.shape[2], steps.size(*labels.shape))

    def seek(self, batch: int) -> None:
        """See `Source`; draws the order here, since resuming restores another seed first."""
        most = self.options.rand_skip
        skip = int(self.streams.fresh(f"{self.name}/skip").integers(most)) if most else 0
        self._order = Order(len(self.lines), self.options.shuffle, self.streams, self.name, skip)

    def fetch(self, batch: int) -> Fetched:
        """See `Source`."""
        count = self.options.batch_size
        numbers = self._order.numbers(self.first_item(batch, count), count, self.ranks)
        return numbers.tolist(), self.streams.fresh(self.name, batch)

    def fill(self, fetched: Fetched, number: int, batch: Batch) -> None:
        """See `Source`."""
        items, rng = fetched
        data: Image | None = None
        for index, item in enumerate(items):
            image, labels = self.pair(item)
            height, width = labels.shape
            image, labels = self.steps.resized(image, labels, rng)
            shape = image.shape[2], *self.steps.size(*labels.shape)
            if data is None:
                data, out, sizes = batch.shape(*self._shapes(shape[0], shape[1:]))
            if data.shape[1:] != shape:
                raise CafxError(
                    f"shape mismatch at {self.describe(item)}",
                    found=shape_text(shape),
                    expected=f"{shape_text(data.shape[1:])} as before",
                    remedy="set new_height and new_width, a crop, or batch_size: 1",
                )
            self.steps.write(image, labels, data[index], out[index, 0], rng, self.describe(item))
            sizes[index, 0, 0] = min(height, shape[1]), min(width, shape[2])
        del batch.arrays[self.tops :]

    def pair(self, item: int) -> tuple[Image, Image]:
        """The H×W×C pixels and the H×W labels of a line.

        Raises:
            CafxError: a file cannot be read or decoded, a label is not a number, or the sizes differ.
        """
        name, label = self.lines[item]
        image = self._read(name, 3 if self.options.is_color else 1, cv2().INTER_LINEAR)
        size = image.shape[:2]
        if self.kind == NONE:
            return image, np.full(size, self.steps.padding, np.float32)
        if self.kind == IMAGE:
            if not (label.isdecimal() and int(label) <= MAX_LABEL):
                expected = f"a label from 0 to {MAX_LABEL}"
                raise CafxError(f"{self.describe(item)} has no label", found=repr(label), expected=expected)
            return image, np.full(size, int(label), np.uint8)
        labels = self._read(label, 1, cv2().INTER_NEAREST)[:, :, 0]
        if labels.shape != size:
            raise CafxError(
                f"{self.describe(item)} and its labels differ in size",
                found=f"{shape_text(size)} and {shape_text(labels.shape)}",
                remedy="make both of one size, or set new_height and new_width",
            )
        return image, labels

    def describe(self, item: int) -> str:
        """How errors refer to an item."""
        return f"image '{self.options.root_folder + self.lines[item][0]}'"

    def _read(self, name: str, channels: int, interpolation: int) -> Image:
        """An image file, resized if the options say so."""
        options, root = self.options, self.options.root_folder
        try:
            image: Image = decode(read_bytes(root + name), channels, f"'{root + name}'")
        except CafxError as error:
            error.remedy = missing_image(root, name) or error.remedy
            raise
        if options.new_height:
            size = options.new_width, options.new_height
            image = cv2().resize(image, size, interpolation=interpolation).reshape(*size[::-1], channels)
        return image

    def _shapes(self, channels: int, size: Sequence[int]) -> list[tuple[int, ...]]:
        count = self.options.batch_size
        return [(count, channels, *size), (count, 1, *size), (count, 1, 1, 2)]
