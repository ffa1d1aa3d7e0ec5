"""HDF5Data: batches of rows from HDF5 files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, TransformationParameter, above, message, option
from cafx_data_hdf5data.rows import Rows
from cafx_lib_feed.layer import BatchLayer
from cafx_lib_feed.prefetch import Source

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("hdf5_data_param", 112)
class HDF5DataParameter(Message):
    """Options of HDF5Data."""

    source: str = option(1, "string", doc="text file that lists the HDF5 files")
    batch_size: int = option(2, "uint32", doc="rows per batch", check=above(0))
    shuffle: bool = option(3, "bool", False, doc="shuffle the files and the rows of each file every epoch")


class HDF5Data(BatchLayer):
    """Rows of HDF5 datasets; each top reads the dataset of the same name.

    Bottoms: none. Tops: N×d₁×… for a dataset of shape R×d₁×…, where N = batch_size. The files listed in
    ``source`` are read in order and repeatedly; they may be larger than memory. With ``shuffle``, the order of
    the files, and of the rows in each file, changes every epoch. No gradient.

    Raises:
        CafxError: a file that is missing, not HDF5, lacks a dataset, or has datasets of different lengths;
            rows whose shape differs from that in the first file.

    Source: Caffe's layer catalogue.
    """

    Parameter = HDF5DataParameter
    declares = (TransformationParameter,)
    options: HDF5DataParameter
    tops = (1, None)

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Open and check all files."""
        if self.spec.HasField("transform_param"):
            raise self.error("transform_param is unsupported", remedy="remove it")
        size = self.options.batch_size
        if not self.options.source or not size:
            raise self.error("source and batch_size must be set", expected="both in hdf5_data_param")
        rows = Rows(list(self.spec.top), self.options, self.context.streams, self.name)
        return rows, [(size, *shape) for shape in rows.shapes]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """In order and shuffled, across the end of a file and of the list."""
        from cafx.conformance import Case
        from cafx.conformance.kinds.data import DataCase
        from cafx_lib_feed import samples

        options = {"source": samples.hdf5_list(), "batch_size": 3}
        yield DataCase(
            "in_order", options=options, tops=2, records=8, shuffle={"shuffle": True}, damaged=samples.damaged_hdf5_list
        )
        yield Case("shuffled", options={**options, "batch_size": 7, "shuffle": True})
