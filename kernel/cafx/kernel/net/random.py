"""Named random streams: every draw comes from a stream of the seed and a name, never a global.

Two nets with one seed draw the same values for a layer of one name, whatever other layers they
have; a stream's state can be kept and put back, so that a resumed run goes on where it stood.
"""

from __future__ import annotations

import secrets
import zlib
from typing import Any

import numpy as np


class Streams:
    """Random generators by name.

    Args:
        seed: non-negative; None or a negative value (Caffe's -1) takes a fresh one.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = secrets.randbits(63) if seed is None or seed < 0 else seed
        self._streams: dict[str, np.random.Generator] = {}

    def __getitem__(self, name: str) -> np.random.Generator:
        """The stream called ``name``: the same object each time."""
        if name not in self._streams:
            self._streams[name] = self.fresh(name)
        return self._streams[name]

    def fresh(self, name: str, *indices: int) -> np.random.Generator:
        """A new generator for ``name`` (and, say, a batch's index), at its beginning."""
        key = [self.seed, zlib.crc32(name.encode()), *indices]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def state(self) -> dict[str, Any]:
        """Seed and position of every stream, as plain values."""
        positions = {name: rng.bit_generator.state for name, rng in self._streams.items()}
        return {"seed": self.seed, "streams": positions}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned; generators already handed out go on from there."""
        self.seed = state["seed"]
        unused = {name: self.fresh(name).bit_generator.state for name in self._streams}
        for name, position in {**unused, **state["streams"]}.items():
            self[name].bit_generator.state = position
