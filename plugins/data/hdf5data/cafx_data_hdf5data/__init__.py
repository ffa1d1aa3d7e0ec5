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

    source: str = option(1, "string", doc="a text file that names the HDF5 files")
    batch_size: int = option(2, "uint32", doc="rows a batch", check=above(0))
    shuffle: bool = option(3, "bool", False, doc="shuffle files, and rows within each, every epoch")


class HDF5Data(BatchLayer):
    """Rows of HDF5 datasets, each top from the dataset of its name.

    Bottoms: none. Tops: for a dataset of R×d₁×…, a blob N×d₁×…, N being batch_size. The files that
    ``source`` lists are read one after the other, over and over; files may be larger than memory.
    With ``shuffle`` each epoch has its own order of files and of rows within each. No gradient.

    Raises:
        CafxError: a file that is missing or not HDF5, without the dataset, or with datasets of
            unequal length; rows of another shape than in the first file.

    Source: Caffe's layer catalogue.
    """

    Parameter = HDF5DataParameter
    declares = (TransformationParameter,)
    options: HDF5DataParameter
    tops = (1, None)

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Open and check every file."""
        if self.spec.HasField("transform_param"):
            raise self.error("does not transform data", found="transform_param", expected="none")
        size = self.options.batch_size
        if not self.options.source or not size:
            raise self.error("source and batch_size must be stated", expected="both in hdf5_data_param")
        rows = Rows(list(self.spec.top), self.options, self.context.streams, self.name)
        return rows, [(size, *shape) for shape in rows.shapes]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """In order and shuffled, over the end of a file and of the list."""
        from cafx.conformance import Case
        from cafx_lib_feed import samples

        options = {"source": samples.hdf5_list(), "batch_size": 3}
        yield Case("in_order", options=options, tops=2)
        yield Case("shuffled", options={**options, "batch_size": 7, "shuffle": True})
