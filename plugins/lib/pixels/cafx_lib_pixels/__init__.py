"""A batch of 8-bit images as the place where a blob is kept, until somebody needs floats.

Bytes are a quarter of floats: a data layer's batches take a quarter of the memory and a GPU's upload a quarter of
the time. Whoever reads such a blob first converts it: the host by `Images.write`, a GPU by a kernel of its own after
the upload.
"""

from cafx_lib_pixels.images import IMAGES, Images

__all__ = ["IMAGES", "Images"]
