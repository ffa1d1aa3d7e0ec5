"""Data: batches of images and labels from a database."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from cafx.kernel import Blob, TransformationParameter, above, message, option, within
from cafx_data_data.source import DataSource
from cafx_lib_feed.layer import BatchLayer, LegacyTransform
from cafx_lib_feed.prefetch import Source
from cafx_lib_feed.transform import Transformer

if TYPE_CHECKING:
    from cafx.conformance import Case

MOST_PREFETCHED = 1000


@message("data_param", 107)
class DataParameter(LegacyTransform):
    """Options of Data."""

    class DB(IntEnum):
        """The kinds of database."""

        LEVELDB = 0
        LMDB = 1

    source: str = option(1, "string", doc="path of the database")
    batch_size: int = option(4, "uint32", doc="images a batch", check=above(0))
    rand_skip: int = option(7, "uint32", 0, doc="skip fewer images than this at the start, by chance")
    backend: DB = option(8, DB, DB.LEVELDB, doc="kind of database")
    force_encoded_color: bool = option(9, "bool", False, doc="decode images to three channels")
    prefetch: int = option(10, "uint32", 4, doc="batches made in advance", check=within(1, MOST_PREFETCHED))
    shuffle: bool = option(100_000, "bool", False, doc="another order each epoch, from the net's seed")
    allow_negative_labels: bool = option(
        100_001, "bool", False, doc="take labels below 0, say for a loss's ignore_label"
    )
    database: str = option(100_002, "string", doc="kind of database by its plugin's name, in place of backend")


class Data(BatchLayer):
    """Images and labels from a database of Datums, transformed as transform_param says.

    Bottoms: none. Tops: data N×C×H×W (H and W are crop_size where it is set), and labels N.
    Raw pixels are used as they are; encoded images are decoded, to three channels or to one where
    force_color or force_gray is set. The database is read in order, over and over; with ``shuffle``
    in another order each time. With batch_size 1 images may be of any size. No gradient.

    Raises:
        CafxError: a database that is missing, empty, damaged, locked or of another kind; an item
            that is no Datum, has another shape or a negative label; a mean or crop that does not fit.

    Source: Caffe's layer catalogue; shuffling: BVLC/caffe issues 1087 and 2606.
    """

    Parameter = DataParameter
    declares = (TransformationParameter,)
    options: DataParameter

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Open the database and look at its first image."""
        options, streams = self.options, self.context.streams
        if not options.source or not options.batch_size:
            raise self.error("source and batch_size must be stated", expected="both in data_param")
        transformer = Transformer(self.read(TransformationParameter), self.phase, self.failure(), self.context.dtype)
        self.dynamic_shape = options.batch_size == 1  # type: ignore[misc]  # a fact of this one
        kind = options.database or options.backend.name
        reader = self.context.plugins.load("database", kind).open(options.source)
        rng: Callable[[int], np.random.Generator] = functools.partial(streams.fresh, self.name)
        source = DataSource(
            reader, options, streams, self.name,
            transformer, options.batch_size, rng, len(top) > 1, options.allow_negative_labels,
        )  # fmt: skip
        try:
            return source, source.first_shapes(next(reader.items()))
        except Exception:
            source.close()
            raise

    @property
    def ahead(self) -> int:
        """``prefetch``."""
        return self.options.prefetch

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Raw and encoded, from both kinds of database, with every transformation."""
        from cafx.conformance import Case
        from cafx_lib_feed import samples

        lmdb = {"source": samples.database("LMDB"), "backend": "LMDB"}
        ignored = {"scale": 2.0, "mean_file": "none", "crop_size": 2, "mirror": True}
        cut = {"crop_size": 5, "mirror": True, "mean_value": [100.0, 110.0, 120.0], "scale": 0.5}
        yield Case("plain", options={**lmdb, "batch_size": 3, "prefetch": 2, **ignored}, tops=2)
        yield Case("cut", options={**lmdb, "batch_size": 4, "rand_skip": 3}, layer={"transform_param": cut}, tops=2)
        yield Case(
            "mean_file", options={**lmdb, "batch_size": 2, "allow_negative_labels": True},
            layer={"transform_param": {"mean_file": samples.mean_file()}},
        )  # fmt: skip
        yield Case(
            "encoded", tops=2, layer={"transform_param": {"force_gray": True}},
            options={"source": samples.database("LMDB", True), "database": "LMDB", "batch_size": 1},
        )  # fmt: skip
        yield Case(
            "color", options={**lmdb, "batch_size": 2, "force_encoded_color": True, "shuffle": True},
            layer={"transform_param": {"force_color": True}}, tops=2,
        )  # fmt: skip
