"""Softmax over the channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cafx.kernel import Blob, Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.routine import Accelerated
from cafx_engine_cupy.session import BLOCK, NULL

FILE = "softmax.cu"
WARP = 32
PACKS_OF_A_WARP = 2 * WARP
"""Up to so many packs of channels a warp works on a row, with more a block."""
BLOCKS_PER_MULTIPROCESSOR = 16


class Rows:
    """How the threads of `softmax.cu` divide the pixels of a channels-last blob.

    Args:
        routine: whose kernels are launched.
        blob: the scores.

    Attributes:
        numbers: pixels, packs and channels of a pixel, as kernels take them.
        lanes: threads that share a pixel.
        blocks: blocks of threads.
    """

    def __init__(self, routine: Accelerated, blob: Blob) -> None:
        self._precision = routine.precision
        extent = routine.build.extent(blob)
        packs = extent.padded // routine.precision.vector
        self.numbers = np.int64(extent.rows), np.int32(packs), np.int32(extent.channels)
        self.lanes = BLOCK if packs > PACKS_OF_A_WARP else min(WARP, 1 << (packs - 1).bit_length())
        at_once = BLOCK // self.lanes
        most = routine.session.multiprocessors * BLOCKS_PER_MULTIPROCESSOR
        self.blocks = min(-(-extent.rows // at_once), most)

    def launch(self, kernel: str, arrays: Sequence[Any], further: Sequence[Any] = ()) -> None:
        """Run a kernel.

        Args:
            kernel: its name.
            arrays: its first arguments; None is a null pointer.
            further: those behind pixels, packs, channels and lanes.
        """
        pointers = [NULL if array is None else array for array in arrays]
        arguments = (*pointers, *self.numbers, np.int32(self.lanes), *further)
        self._precision.launch(FILE, kernel, (self.blocks,), BLOCK, arguments)


def check_scores(routine: Accelerated, scores: Blob, axis: int) -> None:
    """Whether the kernels of `softmax.cu` suit some scores.

    Raises:
        Unsupported: another axis than the channels, or float32 scores that would be rounded to bfloat16.
    """
    if len(scores.shape) < 2 or axis != 1:
        raise Unsupported("not over the channels")
    if routine.precision.bf16 and routine.build.written_in(scores) is routine.build.engine.place:
        raise Unsupported("scores in float32")


class Softmax(Accelerated):
    """Softmax over axis 1: each pixel's channels lie side by side, so a few threads read them in one go."""

    def choose(self) -> None:
        """Channels-last, over the channels."""
        bottom, top = self.bottoms[0], self.tops[0]
        check_scores(self, bottom, self.layer.softmax_axis)
        self.x, self.dx = self.data(bottom), self.diff(bottom)
        self.y, self.dy = self.data(top), self.diff(top)
        self.build.writes(top, self.y.place)
        self._rows = Rows(self, bottom)

    @property
    def forward_uses(self) -> Access:
        """From scores to probabilities."""
        return Access(reads=[self.x], writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From the probabilities' gradient to the scores'."""
        return Access(reads=[self.y, self.dy], writes=[self.dx] if self.propagate_down[0] else [])

    def forward(self) -> None:
        """y = exp(x − max x) / Σ exp(x − max x)."""
        self._rows.launch("softmax", [self.x.read(), self.y.target()])
        self.y.written()

    def backward(self) -> None:
        """dx = y · (dy − Σ dy · y)."""
        if self.propagate_down[0]:
            self._rows.launch("softmax_gradient", [self.y.read(), self.dy.read(), self.dx.target()])
            self.dx.written()
