"""Sums over the pixels of a channels-last gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import Blob
from cafx_engine_cudnn.routine import Accelerated
from cafx_engine_cupy.session import NULL

THREADS = 256
WIDTH = 32
"""Packs of channels that one block works on at most."""
ROWS_PER_THREAD = 4
BLOCKS_PER_MULTIPROCESSOR = 8
FOLD = (32, 32)


class Geometry:
    """How blocks divide a matrix of pixels × packs of channels.

    Args:
        rows: pixels.
        packs: packs of channels per pixel.
        multiprocessors: of the GPU.

    Attributes:
        block, grid: threads of a block and blocks, channels first.
    """

    def __init__(self, rows: int, packs: int, multiprocessors: int) -> None:
        width = min(WIDTH, 1 << (packs - 1).bit_length())
        height = THREADS // width
        across = -(-packs // width)
        down = min(
            -(-rows // (height * ROWS_PER_THREAD)), max(1, multiprocessors * BLOCKS_PER_MULTIPROCESSOR // across)
        )
        self.block, self.grid = (width, height), (across, max(1, down))


def masked_sums(
    routine: Accelerated,
    blob: Blob,
    dy: Any,
    *,
    y: Any = None,
    result: Any = None,
    slope: float = 0.0,
    scale: float = 1.0,
    sums: tuple[Any, bool] | None = None,
) -> None:
    """The gradient of a ReLU and its sums per channel, in one pass.

    Args:
        routine: whose kernels and scratch buffers are used.
        blob: the blob whose gradient it is.
        dy: the gradient.
        y: the ReLU's output; None for no ReLU.
        result: where scale · dy is written, times the slope where y ≤ 0; None to write nothing.
        slope: the negative slope.
        scale: a factor.
        sums: an array for the sums of the result, and whether to add to it; None for no sums.
    """
    extent, vector = routine.build.extent(blob), routine.precision.vector
    packs = extent.padded // vector
    geometry = Geometry(extent.rows, packs, routine.session.multiprocessors)
    partial: Any = NULL
    if sums is not None:
        partial = routine.build.scratch("partial sums", geometry.grid[1] * extent.padded, np.float32)
    arguments = (
        *(dy, NULL if y is None else y, NULL if result is None else result, partial),
        *(np.int64(extent.rows), np.int32(packs), np.float32(slope), np.float32(scale)),
    )
    shared = THREADS * vector * 4
    routine.precision.launch("reduce.cu", "masked_sums", geometry.grid, geometry.block, arguments, shared)
    if sums is not None:
        fold(routine, partial, geometry.grid[1], extent.padded, *sums)


def fold(routine: Accelerated, partial: Any, block_rows: int, channels: int, sums: Any, add: bool) -> None:
    """Add up the partial sums of all blocks."""
    arguments = partial, sums, np.int32(block_rows), np.int32(channels), np.int32(add)
    routine.precision.launch("reduce.cu", "fold", (-(-channels // FOLD[0]),), FOLD, arguments)
