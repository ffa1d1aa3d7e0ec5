"""BatchNorm: normalisation of each channel to mean 0 and variance 1."""

from cafx_layer_batchnorm.layer import BatchNorm, BatchNormParameter

__all__ = ["BatchNorm", "BatchNormParameter"]
