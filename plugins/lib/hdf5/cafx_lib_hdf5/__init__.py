"""HDF5 files: read as untrusted input, and written whole or not at all."""

from cafx_lib_hdf5.reading import Damaged, Dataset, File
from cafx_lib_hdf5.writing import appending, writing

__version__ = "0.1.0"
__all__ = ["Damaged", "Dataset", "File", "appending", "writing"]
