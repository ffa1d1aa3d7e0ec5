"""Fields of PSPNet's fork, which is DeepLab's with further layers."""

from __future__ import annotations

from cafx.kernel.schema import Dialect
from cafx_dialect_deeplab import DeepLabImageData, DeepLabTransformation

__version__ = "0.1.0"


class PSPNet(Dialect):
    """PSPNet's transformations of images with labels of pixels, those of DeepLab (Zhao et al., 2017)."""

    fork = "PSPNet"
    declares = (DeepLabTransformation, DeepLabImageData)
    types = ("Interp",)
