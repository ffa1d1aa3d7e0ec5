"""The fast GPU engine: cuDNN's graphs and own kernels on channels-last memory, recorded into CUDA graphs."""

from cafx_engine_cudnn.engine import CuDNN

__all__ = ["CuDNN"]
