"""Convolutions by Winograd's minimal filtering, in JIT-compiled kernels."""
