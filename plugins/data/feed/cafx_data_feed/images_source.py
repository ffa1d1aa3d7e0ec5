"""Filling batches with images, whether decoded by now or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx_data_feed.prefetch import Batch, Source
from cafx_data_feed.transform import Draws, Transformer

SMALL = 3 * 64 * 64
Shape3 = tuple[int, int, int]


@attrs.frozen(eq=False)
class Picture:
    """One image of a batch.

    Attributes:
        what: how errors name it.
        label: its class.
        pixels: C×H×W, or None where ``decode`` gives H×W×C when handed a buffer.
    """

    what: str
    label: float
    pixels: Any = None
    decode: Callable[[Any], Any] | None = None


class ImageSource(Source):
    """Batches of images and labels; a further source implements `items` and `picture`.

    Args:
        transformer: what happens to each image.
        batch_size: images a batch.
        rng: the generator of a batch, by its number.
        labelled: whether there is a second top.
    """

    def __init__(
        self,
        transformer: Transformer,
        batch_size: int,
        rng: Callable[[int], np.random.Generator],
        labelled: bool,
        allow_negative_labels: bool = False,
    ) -> None:
        self.transformer = transformer
        self.batch_size = batch_size
        self.rng = rng
        self.labelled = labelled
        self.allow_negative_labels = allow_negative_labels
        self.expected: Shape3 | None = None

    def items(self, batch: int) -> Sequence[Any]:
        """What the images of a batch are made of, in order: by one thread at a time."""
        raise NotImplementedError

    def picture(self, item: Any) -> Picture:
        """The image made of one of those: by several threads at once."""
        raise NotImplementedError

    def first_shapes(self, picture: Picture) -> list[tuple[int, ...]]:
        """The tops' shapes as one image gives them."""
        _, _, shape = self._open(picture)
        if self.batch_size > 1:
            self.expected = shape
        return [(self.batch_size, *shape), (self.batch_size,)][: 1 + self.labelled]

    def fetch(self, batch: int) -> tuple[Sequence[Any], Draws]:
        """See `Source`."""
        items = self.items(batch)
        return items, self.transformer.draw(lambda: self.rng(batch), len(items))

    def fill(self, fetched: tuple[Sequence[Any], Draws], number: int, batch: Batch) -> None:
        """See `Source`."""
        items, draws = fetched
        pictures = map(self.picture, items)
        first = next(pictures)
        if first.pixels is not None and first.pixels.size <= SMALL:
            held = [first, *pictures]
            if not self._fill_at_once(held, draws, batch):
                self._fill_each(held, len(items), draws, batch)
        else:
            self._fill_each(itertools.chain([first], pictures), len(items), draws, batch)
        if not self.labelled:
            del batch.arrays[1:]

    def _fill_at_once(self, pictures: Sequence[Picture], draws: Draws, batch: Batch) -> bool:
        """Images of one shape and type, as one array; whether they are that."""
        first = pictures[0].pixels
        if len(pictures) == 1:
            return False
        pixels = [picture.pixels for picture in pictures]
        if any(each is None or each.shape != first.shape or each.dtype != first.dtype for each in pixels):
            return False
        shape = self.transformer.shape(first.shape, pictures[0].what)
        if shape != (self.expected or shape):
            return False
        data, labels = batch.shape((len(pictures), *shape), (len(pictures),))
        self.transformer.batch(np.stack(pixels), data, draws)
        labels[:] = [self._label(picture) for picture in pictures]
        return True

    def _fill_each(self, pictures: Iterable[Picture], count: int, draws: Draws, batch: Batch) -> None:
        """Images one by one: each is read, decoded and transformed while it is in the cache."""
        expected = self.expected
        for index, picture in enumerate(pictures):
            pixels, image, shape = self._open(picture)
            if index == 0:
                expected = expected or shape
                batch.shape((count, *expected), (count,))
            if shape != expected:
                raise CafxError(
                    f"{picture.what} has another shape than those before it", found=shape_text(shape),
                    expected=shape_text(expected or ()),
                    remedy="set crop_size, convert with --resize, or set batch_size: 1",
                )  # fmt: skip
            if image is None:
                self.transformer.pixels(pixels, batch.arrays[0][index], draws, index)
            else:
                self.transformer.image(image, batch.arrays[0][index], draws, index)
            batch.arrays[1][index] = self._label(picture)

    def _label(self, picture: Picture) -> float:
        if picture.label < 0 and not self.allow_negative_labels:
            raise CafxError(
                f"the label of {picture.what} is negative", found=picture.label, expected="0 or more",
                remedy="count classes from 0, or set allow_negative_labels",
            )  # fmt: skip
        return picture.label

    def _open(self, picture: Picture) -> tuple[Any, Any, Shape3]:
        """Pixels, or else a decoded image, and the shape it has in a batch."""
        if picture.decode is None:
            shape: Shape3 = picture.pixels.shape
            return picture.pixels, None, self.transformer.shape(shape, picture.what)
        image = picture.decode(self.transformer.decoded)
        height, width, channels = image.shape
        return None, image, self.transformer.shape((channels, height, width), picture.what)
