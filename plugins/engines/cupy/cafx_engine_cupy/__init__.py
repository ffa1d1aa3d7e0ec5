"""The GPU engine for layers as they are written: CuPy arrays, CUDA graphs, fused updates."""

from cafx_engine_cupy.engine import CuPy

__all__ = ["CuPy"]
