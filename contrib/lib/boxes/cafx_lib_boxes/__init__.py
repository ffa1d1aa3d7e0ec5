"""Boxes: overlap, coding, matching, non-maximum suppression and average precision, on the host.

A box is a row (xmin, ymin, xmax, ymax). Functions take NumPy arrays whose last axis has these four values and
keep their type: float32 boxes are computed in float32. ``pixels`` selects the convention of whole pixels, in
which a box from xmin to xmax is xmax − xmin + 1 wide.

Example:
    >>> import numpy as np
    >>> boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]], np.float32)
    >>> overlaps(boxes[:1], boxes).round(3).tolist()
    [[1.0, 0.14300000667572021, 0.0]]
    >>> suppress(boxes, np.array([0.5, 0.9, 0.1], np.float32), threshold=0.1).tolist()
    [1, 2]
"""

from cafx_lib_boxes.coding import CODES, decode, decode_pixels, encode, encode_pixels
from cafx_lib_boxes.matching import IGNORED, UNMATCHED, match
from cafx_lib_boxes.overlap import areas, clip, overlaps
from cafx_lib_boxes.precision import VERSIONS, average_precision
from cafx_lib_boxes.suppression import ranked, suppress, suppress_classes

__all__ = [
    "CODES",
    "IGNORED",
    "UNMATCHED",
    "VERSIONS",
    "areas",
    "average_precision",
    "clip",
    "decode",
    "decode_pixels",
    "encode",
    "encode_pixels",
    "match",
    "overlaps",
    "ranked",
    "suppress",
    "suppress_classes",
]
