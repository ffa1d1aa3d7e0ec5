"""The order in which items are read: sequential, or shuffled every epoch, with random access by position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cafx.kernel.net import Streams


class Order:
    """Maps positions 0, 1, 2, … without end to item numbers.

    The permutation of an epoch depends on the seed, ``name`` and the epoch alone, so that a resumed run
    reads the same items.

    Args:
        count: number of items.
        shuffle: use another permutation every epoch.
        streams: random streams.
        name: name of the stream of the permutations.
        skip: number of positions to skip at the beginning.

    Example:
        >>> Order(3, False, Streams(1), "data").numbers(2, 4).tolist()
        [2, 0, 1, 2]
    """

    def __init__(self, count: int, shuffle: bool, streams: Streams, name: str, skip: int = 0) -> None:
        self.count = count
        self.shuffle = shuffle
        self.streams = streams
        self.name = name
        self.skip = skip
        self._epoch = -1
        self._permutation: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def numbers(self, start: int, count: int, step: int = 1) -> npt.NDArray[np.int64]:
        """The item numbers at ``count`` positions: ``start``, ``start + step``, and so on."""
        positions = start + self.skip + step * np.arange(count)
        if not self.shuffle:
            return positions % self.count
        epochs, offsets = np.divmod(positions, self.count)
        numbers = np.empty(count, np.int64)
        for epoch in np.unique(epochs):
            in_epoch = epochs == epoch
            numbers[in_epoch] = self._shuffled(int(epoch))[offsets[in_epoch]]
        return numbers

    def _shuffled(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch != self._epoch:
            rng = self.streams.fresh(f"{self.name}/order", epoch)
            self._epoch, self._permutation = epoch, rng.permutation(self.count)
        return self._permutation
