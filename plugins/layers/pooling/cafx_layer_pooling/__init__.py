"""Pooling: one value per window of a plane."""

from cafx_layer_pooling.layer import Pooling
from cafx_layer_pooling.options import PoolingParameter

__all__ = ["Pooling", "PoolingParameter"]
