"""Selective search: windows of an image that may hold an object, by OpenCV."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_lib_feed.images import cv2

WIDTH = 500
SEED = 0
REMEDY = "pip uninstall -y opencv-python opencv-python-headless; pip install opencv-contrib-python-headless"


def selective_search(image: npt.NDArray[np.uint8], width: int = WIDTH) -> npt.NDArray[np.int_]:
    """The windows of selective search in its fast mode, the best first.

    OpenCV ranks windows by the C library's random numbers, which are seeded here: the result is repeatable.

    Args:
        image: uint8 pixels of shape H×W×3, in the order BGR.
        width: width to which the image is resized for the search; R-CNN's is 500 pixels.

    Returns:
        Array of shape N×4: ymin, xmin, ymax, xmax of each window; the limits are exclusive.

    Raises:
        CafxError: OpenCV's contributed modules are not installed.

    Source: Uijlings et al., Selective Search for Object Recognition, 2013.
    """
    module: Any = cv2()
    if not hasattr(module, "ximgproc"):
        raise CafxError("selective search needs OpenCV's contributed modules (cv2.ximgproc)", remedy=REMEDY)
    rows, columns = image.shape[:2]
    scale = width / columns
    search = module.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(module.resize(image, (width, max(1, round(rows * scale)))))
    search.switchToSelectiveSearchFast()
    ctypes.CDLL("msvcrt" if os.name == "nt" else None).srand(SEED)
    left, top, wide, high = np.asarray(search.process(), float).reshape(-1, 4).T / scale
    corners = np.round(np.stack([top, left, top + high, left + wide], 1)).astype(int)
    clipped: npt.NDArray[np.int_] = np.clip(corners, 0, (rows, columns, rows, columns))
    return clipped[(clipped[:, 2:] > clipped[:, :2]).all(1)]
