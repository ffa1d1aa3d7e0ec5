"""Data: batches of images and labels from a database."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from cafx.kernel import Blob, TransformationParameter, above, message, option, within
from cafx_data_data.source import DataSource
from cafx_lib_feed.layer import BatchLayer, LegacyTransform
from cafx_lib_feed.prefetch import Source
from cafx_lib_feed.shards import open_all
from cafx_lib_feed.transform import Transformer

if TYPE_CHECKING:
    from cafx.conformance import Case

MAX_PREFETCH = 1000


@message("data_param", 107)
class DataParameter(LegacyTransform):
    """Options of Data."""

    class DB(IntEnum):
        """Kinds of database that Caffe supports."""

        LEVELDB = 0
        LMDB = 1

    source: str = option(
        1, "string", doc="path of the database; a pattern (train_lmdb-*), or several, separated by commas"
    )
    batch_size: int = option(4, "uint32", doc="images per batch", check=above(0))
    rand_skip: int = option(7, "uint32", 0, doc="skip a random number of images below this at the start")
    backend: DB = option(8, DB, DB.LEVELDB, doc="kind of database")
    force_encoded_color: bool = option(9, "bool", False, doc="decode images to three channels")
    prefetch: int = option(10, "uint32", 4, doc="batches to prefetch", check=within(1, MAX_PREFETCH))
    shuffle: bool = option(100_000, "bool", False, doc="shuffle every epoch")
    allow_negative_labels: bool = option(100_001, "bool", True, doc="accepted and ignored: they are always allowed")
    database: str = option(100_002, "string", doc="kind of database, the name of its plugin, instead of backend")


class Data(BatchLayer):
    """Images and labels from a database of Datums, transformed according to transform_param.

    Bottoms: none. Tops: data N×C×H×W, where H = W = crop_size if it is set, and labels N.
    The source may be several databases, which are read one after the other, as if they were one.
    Encoded images are decoded, to three channels or one if force_color or force_gray is set. The database is
    read in order and repeatedly; with ``shuffle``, in another order every epoch. With batch_size 1, images
    may differ in size. No gradient.

    Raises:
        CafxError: a database that is missing, empty, damaged, locked or of another kind; an item that is
            not a Datum, or has another shape; a mean or crop that does not match.

    Source: Caffe's layer catalogue; shuffling: BVLC/caffe issues 1087 and 2606.
    """

    Parameter = DataParameter
    declares = (TransformationParameter,)
    options: DataParameter

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Open the database and infer the shapes from its first image."""
        options = self.options
        if not options.source or not options.batch_size:
            raise self.error("source and batch_size must be set", expected="both in data_param")
        transformer = Transformer(self.read(TransformationParameter), self.phase, self.failure(), self.context.dtype)
        self.dynamic_shape = options.batch_size == 1  # type: ignore[misc]  # depends on the instance
        kind = options.database or options.backend.name
        reader = open_all(options.source, self.context.plugins.load("database", kind).open)
        source = DataSource(reader, options, self.context.streams, self.name, transformer, labelled=len(top) > 1)
        try:
            return source, source.first_shapes(next(reader.items()))
        except Exception:
            source.close()
            raise

    @property
    def prefetch(self) -> int:
        """See `BatchLayer`."""
        return self.options.prefetch

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Raw and encoded images, with every transformation."""
        from cafx.conformance import Case
        from cafx.conformance.kinds.data import DataCase
        from cafx_lib_feed import samples

        lmdb = {"source": samples.database("LMDB"), "backend": "LMDB"}
        ignored = {"scale": 2.0, "mean_file": "none", "crop_size": 2, "mirror": True}
        crop = {"crop_size": 5, "mirror": True, "mean_value": [100.0, 110.0, 120.0], "scale": 0.5}
        yield DataCase(
            "plain",
            options={**lmdb, "batch_size": 3, "prefetch": 2, **ignored},
            tops=2,
            records=samples.COUNT,
            shuffle={"shuffle": True},
            damaged=samples.damaged_database,
        )
        yield Case("crop", options={**lmdb, "batch_size": 4, "rand_skip": 3}, layer={"transform_param": crop}, tops=2)
        two = {**lmdb, "source": f"{lmdb['source']},{lmdb['source']}"}
        yield Case("shards", options={**two, "batch_size": 4, "rand_skip": 9}, tops=2)
        yield Case(
            "mean_file",
            options={**lmdb, "batch_size": 2, "allow_negative_labels": True},
            layer={"transform_param": {"mean_file": samples.mean_file()}},
        )
        yield Case(
            "encoded",
            tops=2,
            layer={"transform_param": {"force_gray": True}},
            options={"source": samples.database("LMDB", True), "database": "LMDB", "batch_size": 1},
        )
        yield Case(
            "color",
            options={**lmdb, "batch_size": 2, "force_encoded_color": True, "shuffle": True},
            layer={"transform_param": {"force_color": True}},
            tops=2,
        )
