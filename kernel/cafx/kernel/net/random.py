"""Named random streams: each stream is determined by the seed and a name; there is no global generator.

Two nets with the same seed draw the same values for layers of the same name, regardless of their other
layers. The state of the streams can be saved and restored, so that training resumes exactly.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class Counted(Protocol):
    """Streams whose positions are numbers, kept elsewhere: see `cafx.kernel.net.draws`."""

    def state(self) -> dict[str, int]:
        """The position of each stream by name."""

    def restore(self, positions: Mapping[str, int]) -> None:
        """Restore the result of `state`."""


class Streams:
    """Random generators by name.

    Args:
        seed: a non-negative seed; None or a negative value (Caffe's -1) for a random one.
        rank: number of this process among those that train together; their generators differ.

    Example:
        >>> Streams(1)["conv1"].random() == Streams(1)["conv1"].random()
        True
    """

    def __init__(self, seed: int | None = None, rank: int = 0) -> None:
        self.rank = rank
        self.seed = secrets.randbits(63) if seed is None or seed < 0 else seed
        self._streams: dict[str, np.random.Generator] = {}
        self._counted: Counted | None = None

    def __getitem__(self, name: str) -> np.random.Generator:
        """The generator called ``name``; the same object on every access."""
        if name not in self._streams:
            self._streams[name] = self._initial(name)
        return self._streams[name]

    def _initial(self, name: str) -> np.random.Generator:
        return self.fresh(name, self.rank) if self.rank else self.fresh(name)

    def fresh(self, name: str, *indices: int) -> np.random.Generator:
        """A new generator in its initial state, for ``name`` and optional indices (e.g. of a batch), on all ranks."""
        key = [self.seed, zlib.crc32(name.encode()), *indices]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def keep(self, counted: Counted) -> None:
        """Make the positions of other streams of this seed part of the state, under the key "counters"."""
        self._counted = counted

    def state(self) -> dict[str, Any]:
        """The seed and the position of each stream, as JSON-serialisable values."""
        positions = {name: rng.bit_generator.state for name, rng in self._streams.items()}
        counters = self._counted.state() if self._counted else {}
        return {"seed": self.seed, "streams": positions} | ({"counters": counters} if counters else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the result of `state`, also in generators already handed out."""
        self.seed = state["seed"]
        unused = {name: self._initial(name).bit_generator.state for name in self._streams}
        for name, position in {**unused, **state["streams"]}.items():
            self[name].bit_generator.state = position
        if self._counted:
            self._counted.restore(state.get("counters", {}))
