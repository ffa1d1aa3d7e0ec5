"""How images become the input of a net: one record, shared by all commands."""

from cafx_lib_preprocessing.checks import ANTIALIAS, BILINEAR
from cafx_lib_preprocessing.convert import Converter
from cafx_lib_preprocessing.files import read_labels, read_mean
from cafx_lib_preprocessing.reading import from_net, front_matter, read_preprocessing
from cafx_lib_preprocessing.record import Preprocessing
from cafx_lib_preprocessing.resample import resize_image, resize_pixels, resize_points

__all__ = [
    "ANTIALIAS",
    "BILINEAR",
    "Converter",
    "Preprocessing",
    "from_net",
    "front_matter",
    "read_labels",
    "read_mean",
    "read_preprocessing",
    "resize_image",
    "resize_pixels",
    "resize_points",
]
