"""Filling batches with images, whether decoded by now or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx_lib_feed.prefetch import Batch, Source
from cafx_lib_feed.transform import Draws, Transformer

SMALL = 3 * 64 * 64
Shape3 = tuple[int, int, int]
Memory = Callable[[int], Any]


@attrs.define(eq=False)
class Picture:
    """One image of a batch.

    Attributes:
        label: its class.
        pixels: C×H×W, or H×W×C if ``decoded``.
        decoded: whether it comes from a decoder.
    """

    label: float
    pixels: Any
    decoded: bool

    @property
    def shape(self) -> Shape3:
        """C×H×W."""
        shape = self.pixels.shape
        return (shape[2], shape[0], shape[1]) if self.decoded else shape


class ImageSource(Source):
    """Batches of images and labels; a further source implements `items`, `picture` and `what`.

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

    def picture(self, item: Any, memory: Memory | None) -> Picture:
        """The image made of one of those, decoded into ``memory`` if that helps: by several threads at once."""
        raise NotImplementedError

    def what(self, item: Any) -> str:
        """How errors name the image made of one of those."""
        raise NotImplementedError

    def first_shapes(self, item: Any) -> list[tuple[int, ...]]:
        """The tops' shapes as one image gives them."""
        shape = self.transformer.shape(self.picture(item, None).shape, self.what(item))
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
        first = self.picture(items[0], self.transformer.decoded)
        shape = self._shape(first, items[0], self.expected)
        data, labels = batch.shape((len(items), *shape), (len(items),))
        if first.decoded or first.pixels.size > SMALL or not self._fill_at_once(first, items, draws, data, labels):
            self._fill_each(first, items, draws, data, labels)
        if not self.labelled:
            del batch.arrays[1:]

    def _fill_at_once(self, first: Picture, items: Sequence[Any], draws: Draws, data: Any, labels: Any) -> bool:
        """Images of one shape and type, as one array; whether they are that."""
        pictures = [first, *(self.picture(item, None) for item in items[1:])]
        like = first.pixels.shape, first.pixels.dtype, first.decoded
        if any((each.pixels.shape, each.pixels.dtype, each.decoded) != like for each in pictures):
            return False
        self.transformer.batch(np.stack([each.pixels for each in pictures]), data, draws)
        labels[:] = [self._label(*each) for each in zip(pictures, items, strict=True)]
        return True

    def _fill_each(self, first: Picture, items: Sequence[Any], draws: Draws, data: Any, labels: Any) -> None:
        """Images one by one: each is read, decoded and transformed while it is in the cache."""
        transformer, picture, like = self.transformer, first, first.pixels.shape
        for index, item in enumerate(items):
            if index:
                picture = self.picture(item, transformer.decoded)
            if picture.pixels.shape != like or picture.decoded != first.decoded:
                self._shape(picture, item, data.shape[1:])
            work = transformer.image if picture.decoded else transformer.pixels
            work(picture.pixels, data[index], draws, index)
            labels[index] = self._label(picture, item)

    def _shape(self, picture: Picture, item: Any, expected: Shape3 | None) -> Shape3:
        """The shape an image has in a batch, where it is the one expected."""
        shape = self.transformer.shape(picture.shape, self.what(item))
        if shape != (expected or shape):
            raise CafxError(
                f"{self.what(item)} has another shape than those before it", found=shape_text(shape),
                expected=shape_text(expected or ()),
                remedy="set crop_size, convert with --resize, or set batch_size: 1",
            )  # fmt: skip
        return shape

    def _label(self, picture: Picture, item: Any) -> float:
        if picture.label < 0 and not self.allow_negative_labels:
            raise CafxError(
                f"the label of {self.what(item)} is negative", found=picture.label, expected="0 or more",
                remedy="count classes from 0, or set allow_negative_labels",
            )  # fmt: skip
        return picture.label
