"""Pooling arithmetic shared by the layers Pooling and SPP."""

from cafx_lib_pooling.fitting import make_pool
from cafx_lib_pooling.picking import PickingPool
from cafx_lib_pooling.pool import Pool, Shape

__all__ = ["PickingPool", "Pool", "Shape", "make_pool"]
