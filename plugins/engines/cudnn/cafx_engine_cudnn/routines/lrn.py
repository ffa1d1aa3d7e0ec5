"""LRN: local response normalisation across channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.routine import Accelerated

FILE = "lrn.cu"
NEAR, FAR = 2, 7
"""Largest distances of a neighbour that the two pairs of kernels can do."""


class LRN(Accelerated):
    """y = x / s^β, s = k + α/n · Σ x² over the n channels around x, and its gradient.

    One pass over memory each way: a thread has the channels around its own in registers, and the
    backward pass computes s again, so that nothing is kept but x.
    """

    def choose(self) -> None:
        """Across channels, up to 15 of them."""
        options = self.layer.options
        if not self.layer.across_channels:
            raise Unsupported("within channels")
        if options.local_size // 2 > FAR:
            raise Unsupported(f"more than {2 * FAR + 1} channels")
        self.x, self.y = self.data(self.bottoms[0]), self.data(self.tops[0])
        self.dx, self.dy = self.diff(self.bottoms[0]), self.diff(self.tops[0])
        self.build.writes(self.tops[0], self.y.place)

    @property
    def forward_uses(self) -> Access:
        """From the image to the normalised one."""
        return Access(reads=[self.x], writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From gradient to gradient."""
        return Access(reads=[self.x, self.dy], writes=[self.dx])

    def _run(self, kernel: str, *arrays: Any) -> None:
        options, extent = self.layer.options, self.build.extent(self.bottoms[0])
        radius = options.local_size // 2
        sizes = np.int32(extent.padded // self.precision.vector), np.int32(extent.channels), np.int32(radius)
        weight = np.float32(options.alpha / options.local_size)
        constants = weight, np.float32(options.beta), np.float32(options.k)
        name = f"{kernel}_{'near' if radius <= NEAR else 'far'}"
        self.launch(FILE, name, self.packs(self.bottoms[0]), *arrays, np.int64(extent.rows), *sizes, *constants)

    def forward(self) -> None:
        """Write the normalised image."""
        self._run("lrn_forward", self.x.read(), self.y.target())
        self.y.written()

    def backward(self) -> None:
        """Write the image's gradient."""
        if self.propagate_down[0]:
            self._run("lrn_backward", self.x.read(), self.dy.read(), self.dx.target())
            self.dx.written()
