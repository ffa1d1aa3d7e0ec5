"""Flatten and Reshape: other shapes of the same memory."""

from __future__ import annotations

from cafx.kernel.net import Access
from cafx_engine_cudnn.routine import Accelerated


class Sharing(Accelerated):
    """A layer whose tops share their bottoms' memory, in whatever layout that is: nothing is read or written.

    As written, such a layer would count as a reader of row-major memory.
    """

    def choose(self) -> None:
        """Any shape."""

    @property
    def forward_uses(self) -> Access:
        """Nothing."""
        return Access()

    @property
    def backward_uses(self) -> Access:
        """Nothing."""
        return Access()

    def forward(self) -> None:
        """Nothing."""

    def backward(self) -> None:
        """Nothing."""
