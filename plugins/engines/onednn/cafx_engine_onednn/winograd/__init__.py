"""Convolutions by Winograd's minimal filtering, in kernels compiled by LLVM."""
