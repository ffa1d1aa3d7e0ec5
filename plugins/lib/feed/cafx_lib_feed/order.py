"""The order items are read in: as they lie, or shuffled anew each epoch, found again from a position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cafx.kernel.net import Streams


class Order:
    """Numbers of items for positions that count up without end.

    Epoch ``e`` of a shuffled order is drawn from the stream of ``name`` and ``e`` alone, so that
    any position gives the same item whether it was reached by reading or by a resume.

    Args:
        count: how many items.
        shuffle: whether each epoch is a permutation of its own.
        streams, name: where draws come from.
        skip: positions left out at the beginning.
    """

    def __init__(self, count: int, shuffle: bool, streams: Streams, name: str, skip: int = 0) -> None:
        self.count = count
        self.shuffle = shuffle
        self.streams = streams
        self.name = name
        self.skip = skip
        self._epoch = -1
        self._permutation: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def numbers(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """The items at positions ``start`` to before ``start + count``."""
        positions = np.arange(start + self.skip, start + self.skip + count)
        if not self.shuffle:
            return positions % self.count
        epochs, within = np.divmod(positions, self.count)
        numbers = np.empty(count, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            numbers[here] = self._shuffled(int(epoch))[within[here]]
        return numbers

    def _shuffled(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch != self._epoch:
            drawn = self.streams.fresh(f"{self.name}/order", epoch)
            self._epoch, self._permutation = epoch, drawn.permutation(self.count)
        return self._permutation
