"""Batches of images from a database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from cafx.kernel.net import Streams
from cafx_lib_feed.database import Reader
from cafx_lib_feed.datum import DatumReader, key_text
from cafx_lib_feed.images import decode, decode_jpeg
from cafx_lib_feed.images_source import ImageSource, Memory, Picture
from cafx_lib_feed.order import Order

Found = tuple[bytes, memoryview | None]


class DataSource(ImageSource):
    """Images of a database, in its order or shuffled."""

    def __init__(self, reader: Reader, options: Any, streams: Streams, name: str, *rest: Any) -> None:
        super().__init__(*rest)
        self.reader = reader
        self.channels = 3 if options.force_encoded_color else self.transformer.channels
        self.options = options
        self.streams = streams
        self.name = name
        self.keys = list(reader.keys()) if options.shuffle else []
        self.datums = DatumReader()
        self._order: Order | None = None
        self._items: Iterator[Found] = iter(())

    def seek(self, batch: int) -> None:
        """See `Source`; draws are made here, as a resume brings another seed."""
        drawn = self.streams.fresh(f"{self.name}/skip")
        skip = int(drawn.integers(self.options.rand_skip)) if self.options.rand_skip else 0
        if self.options.shuffle:
            self._order = Order(len(self.keys), True, self.streams, self.name, skip)
        else:
            self._items = self.reader.forever(skip + batch * self.batch_size)

    def items(self, batch: int) -> list[Found]:
        """See `ImageSource`."""
        if self._order is None:
            return list(itertools.islice(self._items, self.batch_size))
        numbers = self._order.numbers(batch * self.batch_size, self.batch_size)
        keys = [self.keys[number] for number in numbers]
        return [(key, self.reader.get(key) if self.reader.lends else None) for key in keys]

    def picture(self, item: Found, memory: Memory | None) -> Picture:
        """See `ImageSource`: what one item of the database holds."""
        key, value = item
        example = self.datums.read(key, self.reader.get(key) if value is None else value)
        if example.image is None:
            return Picture(example.label, example.pixels, False)
        image = decode_jpeg(example.image, self.channels, memory)
        if image is None:
            image = decode(example.image, self.channels, self.what(item))
        return Picture(example.label, image, True)

    def what(self, item: Found) -> str:
        """See `ImageSource`."""
        return f"item {key_text(item[0])}"

    def close(self) -> None:
        """See `Source`."""
        self.reader.close()
