"""Split: the gradients of all readers summed by one kernel."""

from __future__ import annotations

from cafx.kernel.net import Access
from cafx_engine_cudnn.flat import Flat


class Split(Flat):
    """Forward does nothing, since the tops share the bottom's data; backward is one sum.

    The sum is over the tops whose gradient somebody wrote; the others are zero.
    """

    def choose(self) -> None:
        """The bottom's layout, in which its writer reads the gradient."""
        self.choose_layout(self.bottoms)
        self.dx = self.gradient_of(self.bottoms[0])
        self.dys = [self.gradient_of(top) for top in self.tops]

    @property
    def forward_uses(self) -> Access:
        """Nothing."""
        return Access()

    @property
    def backward_uses(self) -> Access:
        """Reads the gradients that will have been written; which, is known when it runs."""
        return Access(reads=self.dys, writes=[self.dx]) if self.propagate_down[0] else Access()

    def forward(self) -> None:
        """Nothing."""

    def backward(self) -> None:
        """Sum up."""
        if not self.propagate_down[0]:
            return
        written = [dy.read() for dy in self.dys if dy.storage.current]
        if not written:
            self.dx.storage.zero()
            return
        self.sum_up(written, [1.0] * len(written), self.dx.target())
        self.dx.written()
