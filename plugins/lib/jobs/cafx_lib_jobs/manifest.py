"""What a job works on: a list of records, cut into slices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

SLICES = 256
"""Number of slices of a job, if they are neither too small nor too large."""
LEAST, MOST = 32, 8192
"""Records of a slice, at least and at most."""


@attrs.frozen
class Slice:
    """A run of records.

    Attributes:
        number: its number, from 0.
        start, stop: numbers of its first record and of the one after its last.
    """

    number: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@attrs.frozen
class Manifest:
    """A list of records, cut into slices in a way that depends on its length only.

    The number of workers has no influence, so that a job can be resumed by any number of them, and its result is the
    same.

    Attributes:
        count: number of records.
        size: records of a slice; the last one may have fewer.
        parts: number of slices of equal size instead; 0 for slices of that size.

    Example:
        >>> [len(each) for each in Manifest.of(100).slices()]
        [32, 32, 32, 4]
        >>> [len(each) for each in Manifest.into(10, 4).slices()]
        [3, 3, 2, 2]
    """

    count: int
    size: int
    parts: int = 0

    @classmethod
    def of(cls, count: int, multiple: int = 1, least: int = LEAST, most: int = MOST) -> Manifest:
        """Cut records into about `SLICES` slices.

        Args:
            count: number of records.
            multiple: the size of a slice is a multiple of this.
            least, most: records of a slice, before rounding up to the multiple.
        """
        size = min(most, max(least, -(-count // SLICES)))
        return cls(count, -(-size // multiple) * multiple)

    @classmethod
    def into(cls, count: int, parts: int) -> Manifest:
        """Cut records into a number of slices that differ by one record at most."""
        return cls(count, -(-count // parts), parts)

    def slices(self) -> Iterator[Slice]:
        """The slices, in order."""
        if self.parts:
            whole, more = divmod(self.count, self.parts)
            starts = [number * whole + min(number, more) for number in range(self.parts + 1)]
        else:
            starts = [*range(0, self.count, self.size), self.count]
        for number, (start, stop) in enumerate(itertools.pairwise(starts)):
            yield Slice(number, start, stop)

    def cut(self, records: Sequence[Any]) -> Iterator[tuple[Slice, Sequence[Any]]]:
        """Each slice with its records."""
        for each in self.slices():
            yield each, records[each.start : each.stop]
