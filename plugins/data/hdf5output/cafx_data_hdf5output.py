"""HDF5Output: writes data and labels to an HDF5 file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cafx.kernel import Blob, CafxError, Layer, Message, message, option
from cafx_lib_hdf5 import appending, writing

if TYPE_CHECKING:
    from cafx.conformance import Case

DATASETS = ("data", "label")
MIN_AXES = 4


@message("hdf5_output_param", 113)
class HDF5OutputParameter(Message):
    """Options of HDF5Output."""

    file_name: str = option(1, "string", doc="HDF5 file to write")


class HDF5Output(Layer):
    """Writes its bottoms to the datasets ``data`` and ``label``; each forward pass appends rows.

    Bottoms: data N×… and labels N×…, of the same N; written with at least four axes, as in Caffe.
    Tops: none. No gradient. A net's first forward pass overwrites the file; each pass adds to it completely or, if
    the disk is full, not at all.

    Raises:
        CafxError: file_name is not set, the file cannot be written, or the bottoms differ in length.

    Source: Caffe's layer catalogue.
    """

    Parameter = HDF5OutputParameter
    options: HDF5OutputParameter
    bottoms = 2
    tops = 0
    forward_only = True
    keeps_state = True
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that there is a file name; what is in the file stays until the first forward pass."""
        if not self.options.file_name:
            raise self.error("file_name must be set", expected="hdf5_output_param { file_name: … }")
        self.path = Path(self.options.file_name)
        self._begun = False
        if not os.path.isdir(self.path.absolute().parent):  # noqa: PTH112 - pathlib raises where a name is too long
            raise self.error(f"'{self.path}' cannot be written", remedy=f"create its folder, '{self.path.parent}'")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that data and labels have the same length."""
        lengths = [blob.shape[0] if blob.shape else 0 for blob in bottom]
        if lengths[0] != lengths[1]:
            found = f"{lengths[0]} and {lengths[1]}"
            raise self.error("data and labels differ in batch size", found=found, expected="the same")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Append the rows of both bottoms."""
        try:
            with (appending if self._begun else writing)(self.path) as file:
                for name, blob in zip(DATASETS, bottom, strict=True):
                    values = blob.host()
                    file.append(name, values.reshape(values.shape + (1,) * (MIN_AXES - values.ndim)))
        except CafxError as error:
            raise self.error(f"'{self.path}' {error.message}", remedy=error.remedy) from error
        except (TypeError, ValueError) as error:
            raise self.error(f"'{self.path}' cannot be written: {error}") from error
        self._begun = True

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Do nothing: the layer has no gradient."""

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Vectors and images."""
        from cafx.conformance import Case
        from cafx_lib_feed import samples

        options = {"file_name": str(samples.folder() / "output.h5")}
        yield Case("vectors", (4, 3), (4,), options=options, tops=0)
        yield Case("images", (2, 3, 4, 5), (2, 1), options=options, tops=0)
