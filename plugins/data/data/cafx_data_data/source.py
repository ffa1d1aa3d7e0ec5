"""Source of the Data layer: images from a database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from cafx.kernel import CafxError
from cafx.kernel.net import Streams
from cafx_lib_feed.database import Reader
from cafx_lib_feed.datum import DatumReader, key_text
from cafx_lib_feed.images import Allocate, decode, decode_jpeg
from cafx_lib_feed.images_source import ImageSource, Picture
from cafx_lib_feed.order import Order
from cafx_lib_feed.prefetch import Batch
from cafx_lib_feed.transform import Draws, Transformer

DatabaseItem = tuple[bytes, memoryview | None]


class DataSource(ImageSource):
    """Images from a database, in its order or shuffled; an item is a key and, if lent, its value.

    Args:
        reader: the database.
        options, streams, name, transformer, labelled: see `ImageSource`.
    """

    def __init__(
        self, reader: Reader, options: Any, streams: Streams, name: str, transformer: Transformer, labelled: bool
    ) -> None:
        super().__init__(options, streams, name, transformer, labelled)
        self.reader = reader
        self.channels = 3 if options.force_encoded_color else transformer.channels
        self.keys = list(reader.keys()) if options.shuffle else []
        self.datums = DatumReader()
        self._order: Order | None = None
        self._items: Iterator[DatabaseItem] = iter(())

    @property
    def epoch(self) -> int:
        """See `Source`; counted when first asked for, as a database may have to walk over its keys."""
        return len(self.reader)

    def seek(self, batch: int) -> None:
        """See `Source`; draws the order here, since resuming restores another seed first."""
        skip = self.draw_skip()
        if self.options.shuffle:
            self._order = Order(len(self.keys), True, self.streams, self.name, skip)
        else:
            items = self.reader.forever(skip + self.first_item(batch, self.batch_size))
            self._items = itertools.islice(items, 0, None, self.ranks) if self.ranks > 1 else items

    def items(self, batch: int) -> list[DatabaseItem]:
        """See `ImageSource`."""
        if self._order is None:
            return list(itertools.islice(self._items, self.batch_size))
        numbers = self._order.numbers(self.first_item(batch, self.batch_size), self.batch_size, self.ranks)
        keys = [self.keys[number] for number in numbers]
        return [(key, self.reader.get(key) if self.reader.lends else None) for key in keys]

    def fill(self, fetched: tuple[Sequence[Any], Draws], number: int, batch: Batch) -> None:
        """See `Source`; the database may have been truncated since the batch was fetched."""
        self.reader.check_lent()
        super().fill(fetched, number, batch)

    def picture(self, item: DatabaseItem, allocate: Allocate | None) -> Picture:
        """See `ImageSource`."""
        key, value = item
        try:
            example = self.datums.read(key, self.reader.get(key) if value is None else value)
        except CafxError as error:
            raise error.at(self.options.source) from error.__cause__
        if example.image is None:
            return Picture(example.label, example.pixels, False)
        image = decode_jpeg(example.image, self.channels, allocate)
        if image is None:
            image = decode(example.image, self.channels, self.describe(item))
        return Picture(example.label, image, True)

    def describe(self, item: DatabaseItem) -> str:
        """See `ImageSource`."""
        return f"item {key_text(item[0])}"

    def close(self) -> None:
        """See `Source`."""
        self.reader.close()
