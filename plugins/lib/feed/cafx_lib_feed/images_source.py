"""Base class of sources that read images: decode, transform and label them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx.kernel.net import Streams
from cafx_lib_feed.images import Allocate
from cafx_lib_feed.prefetch import Batch, Source
from cafx_lib_feed.transform import Draws, Transformer
from cafx_lib_pixels.images import MARKS, Images

if TYPE_CHECKING:
    from cafx_lib_pixels.streaming import Stream

SMALL_IMAGE = 3 * 64 * 64
"""Up to this many values per image, transforming a stacked batch is faster than one image at a time."""
MOST_KEPT = 1.5
"""An image is kept as a whole, which takes no copy, if it has at most this many times the pixels of its window."""
WHOLE, WINDOWS, FLOATS = range(3)
"""Ways to keep a batch, each for more kinds of images than the one before."""
Shape3 = tuple[int, int, int]


@attrs.define(eq=False)
class Picture:
    """One image of a batch.

    Attributes:
        label: class of the image.
        pixels: array of shape H×W×C if ``decoded``, else C×H×W.
        decoded: whether the pixels come from an image decoder.
    """

    label: float
    pixels: Any
    decoded: bool

    @property
    def shape(self) -> Shape3:
        """The shape in the order C×H×W."""
        shape = self.pixels.shape
        return (shape[2], shape[0], shape[1]) if self.decoded else shape


class ImageSource(Source):
    """Batches of images and labels; subclasses implement `items`, `picture` and `describe`.

    Args:
        options: the layer's options: batch_size and rand_skip.
        streams: random streams.
        name: the layer's name, which names its streams.
        transformer: applied to each image.
        labelled: whether the layer has a second top for labels.

    Attributes:
        way: how batches are kept: another way where images turn out to differ in size or kind.
    """

    def __init__(self, options: Any, streams: Streams, name: str, transformer: Transformer, labelled: bool) -> None:
        self.options = options
        self.batch_size: int = options.batch_size
        self.streams = streams
        self.name = name
        self.transformer = transformer
        self.labelled = labelled
        self.expected: Shape3 | None = None
        self.way = WHOLE

    def items(self, batch: int) -> Sequence[Any]:
        """Read the items of a batch, one per image; called by one thread at a time."""
        raise NotImplementedError

    def picture(self, item: Any, allocate: Allocate | None) -> Picture:
        """Decode one item; called by several threads concurrently.

        Args:
            item: an element of `items`.
            allocate: provides memory for a decoded image of a number of bytes.

        Raises:
            CafxError: the item cannot be decoded.
        """
        raise NotImplementedError

    def describe(self, item: Any) -> str:
        """How errors refer to an item."""
        raise NotImplementedError

    def draw_skip(self) -> int:
        """The number of images to skip at the start, drawn at random below rand_skip."""
        rng = self.streams.fresh(f"{self.name}/skip")
        return int(rng.integers(self.options.rand_skip)) if self.options.rand_skip else 0

    def first_shapes(self, item: Any) -> list[tuple[int, ...]]:
        """The shapes of the tops, inferred from one item."""
        shape = self.transformer.shape(self.picture(item, None).shape, self.describe(item))
        if self.batch_size > 1:
            self.expected = shape
        return [(self.batch_size, *shape), (self.batch_size,)][: 1 + self.labelled]

    def fetch(self, batch: int) -> tuple[Sequence[Any], Draws]:
        """See `Source`."""
        items = self.items(batch)
        return items, self.transformer.draw(lambda: self.streams.fresh(self.name, batch), len(items))

    def fill(self, fetched: tuple[Sequence[Any], Draws], number: int, batch: Batch) -> None:
        """See `Source`."""
        items, draws = fetched
        first = self.picture(items[0], self.transformer.decoded)
        shape = self._check_shape(first, items[0], self.expected)
        small = first.pixels.size <= SMALL_IMAGE
        way = self.way if self.keeps_bytes and not small else FLOATS
        whole = way == WHOLE and first.pixels.size <= MOST_KEPT * math.prod(shape)
        stream = None if way == FLOATS else self.transformer.stored(first.pixels, shape, first.decoded, whole)
        if stream is not None:
            if not self._keep(stream, whole, first, items, draws, batch):
                self.way = max(self.way, WINDOWS if whole else FLOATS)
                self.fill(fetched, number, batch)
            return
        data, labels = batch.shape((len(items), *shape), (len(items),))
        if not (small and not first.decoded and self._fill_stacked(first, items, draws, data, labels)):
            self._fill_one_by_one(first, items, draws, data, labels)
        if not self.labelled:
            del batch.arrays[1:]

    def _keep(
        self, stream: Stream, whole: bool, first: Picture, items: Sequence[Any], draws: Draws, batch: Batch
    ) -> bool:
        """Keep images, or their windows, as bytes; return False if one does not fit among those before."""
        size, kind, count = first.shape, (first.pixels.dtype, first.decoded), len(items)
        channels, height, width = size if whole else stream.shape
        kept = (height, width, channels) if first.decoded else (channels, height, width)
        stored, marks = batch.buffer(0, (count, *kept), np.uint8), batch.buffer(2, (count, MARKS), np.int32)
        labels, picture = batch.buffer(1, (count,), batch.dtype), first
        for index, item in enumerate(items):
            if index:
                picture = self.picture(item, self._memory(stored[index]))
            if picture.shape != size and not whole:
                self._check_shape(picture, item, stream.shape)
            if (picture.pixels.dtype, picture.decoded) != kind or (whole and picture.shape != size):
                return False
            mark = marks[index] = self.transformer.place(picture.shape, draws, index)
            labels[index] = picture.label
            _store(picture, stored[index], (0, 0) if whole else mark[1:])
        batch.arrays = [Images(stored, marks, stream, whole), labels][: 1 + self.labelled]
        return True

    def _memory(self, place: Any) -> Allocate:
        """Memory for a decoded image: its place in the batch if it fits, else this thread's."""
        return lambda count: place.reshape(-1) if place.size == count else self.transformer.decoded(count)

    def _fill_stacked(self, first: Picture, items: Sequence[Any], draws: Draws, data: Any, labels: Any) -> bool:
        """Transform all images as one array; return False if their shapes or types differ."""
        pictures = [first, *(self.picture(item, None) for item in items[1:])]
        like = first.pixels.shape, first.pixels.dtype, first.decoded
        if any((each.pixels.shape, each.pixels.dtype, each.decoded) != like for each in pictures):
            return False
        self.transformer.batch(np.stack([each.pixels for each in pictures]), data, draws)
        labels[:] = [each.label for each in pictures]
        return True

    def _fill_one_by_one(self, first: Picture, items: Sequence[Any], draws: Draws, data: Any, labels: Any) -> None:
        """Decode and transform one image at a time, so that each stays in the processor's cache."""
        transformer, picture, like = self.transformer, first, first.pixels.shape
        for index, item in enumerate(items):
            if index:
                picture = self.picture(item, transformer.decoded)
            if picture.pixels.shape != like or picture.decoded != first.decoded:
                self._check_shape(picture, item, data.shape[1:])
            transform = transformer.image if picture.decoded else transformer.pixels
            transform(picture.pixels, data[index], draws, index)
            labels[index] = picture.label

    def _check_shape(self, picture: Picture, item: Any, expected: Shape3 | None) -> Shape3:
        shape = self.transformer.shape(picture.shape, self.describe(item))
        if shape != (expected or shape):
            raise CafxError(
                f"shape mismatch at {self.describe(item)}",
                found=shape_text(shape),
                expected=f"{shape_text(expected or ())} as before",
                remedy="set crop_size, convert with --resize, or set batch_size: 1",
            )
        return shape


def _store(picture: Picture, place: Any, start: tuple[int, int]) -> None:
    """Copy an image, or its window, to its place in a batch unless it was decoded to there."""
    pixels, (top, left) = picture.pixels, start
    if pixels.ctypes.data == place.ctypes.data:
        return
    height, width = place.shape[:2] if picture.decoded else place.shape[1:]
    rows, columns = slice(top, top + height), slice(left, left + width)
    np.copyto(place, pixels[rows, columns] if picture.decoded else pixels[:, rows, columns])
