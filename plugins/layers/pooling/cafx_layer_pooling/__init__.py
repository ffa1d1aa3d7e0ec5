"""Pooling, and the arithmetic that SPP shares with it."""

from cafx_layer_pooling.fitting import make_pool
from cafx_layer_pooling.layer import Pooling
from cafx_layer_pooling.options import PoolingParameter
from cafx_layer_pooling.pool import Pool

__all__ = ["Pool", "Pooling", "PoolingParameter", "make_pool"]
