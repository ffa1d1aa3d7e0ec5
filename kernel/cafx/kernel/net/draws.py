"""Random draws in an engine's place: NumPy's generators on the host, a counter-based stream on a device."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import HOST, Place
from cafx.kernel.net.random import Streams

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
LOW = 0xFFFFFFFF


class Draws(Protocol):
    """Where layers get random numbers in the engine's place: see `Engine.draws`."""

    def uniform(self, name: str, shape: Sequence[int], dtype: npt.DTypeLike) -> Any:
        """Values in [0, 1) from the stream called ``name``, in the engine's place."""

    def state(self) -> dict[str, int]:
        """The position of each stream that is not a NumPy generator."""

    def restore(self, positions: Mapping[str, int]) -> None:
        """Restore the result of `state`."""


class HostDraws:
    """Draws from NumPy's generators, whose positions `Streams` keeps.

    Args:
        streams: the generators.

    Example:
        >>> drawn = HostDraws(Streams(1)).uniform("drop1", (2,), np.float32)
        >>> bool((drawn == Streams(1)["drop1"].random(2, np.float32)).all())
        True
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def uniform(self, name: str, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """``Generator.random`` of the stream called ``name``."""
        generator: Any = self._streams[name]
        drawn: npt.NDArray[Any] = generator.random(tuple(shape), np.dtype(dtype))
        return drawn

    def state(self) -> dict[str, int]:
        """Empty: the generators are part of `Streams.state`."""
        return {}

    def restore(self, positions: Mapping[str, int]) -> None:
        """Nothing to restore."""


class PhiloxDraws:
    """Draws from Philox4x32-10, computed and counted on a device.

    The numbers, for a seed and a name. Value i (from 0, in row-major order) of call p (from 0) to
    `uniform` is ``(word >> 8) * 2**-24``, where ``word`` is output word ``i % 4`` of Philox4x32-10 with

    - counter words ``(b & 0xFFFFFFFF, b >> 32, p & 0xFFFFFFFF, p >> 32)``, with ``b = i // 4``,
    - key words ``(s & 0xFFFFFFFF) ^ (s >> 32)``, with ``s = seed % 2**64``, and ``crc32(name)``; on rank r > 0 of
      several processes, ``crc32(name/r)``.

    They are the same for every dtype. An engine with its own kernel must give the same numbers.

    The state of a stream is an array of two uint64 values in the engine's place: p, and the key
    (its second word in the upper half). It is made at the first draw and only changed in place: work
    that was recorded advances it each time it is repeated, and follows a restored position and seed.

    Args:
        streams: provides the seed, and keeps the positions in its state.
        xp: array module of the place.

    Example:
        >>> draws = PhiloxDraws(Streams(1), np)
        >>> first, second = (draws.uniform("drop1", (2, 3), np.float32) for _ in range(2))
        >>> first.shape, bool((first == second).any()), draws.state()
        ((2, 3), False, {'drop1': 2})
        >>> draws.restore({"drop1": 1})
        >>> bool((draws.uniform("drop1", (2, 3), np.float32) == second).all())
        True
    """

    def __init__(self, streams: Streams, xp: Any) -> None:
        self.xp = xp
        self._streams = streams
        self._states: dict[str, Any] = {}
        streams.keep(self)

    def uniform(self, name: str, shape: Sequence[int], dtype: npt.DTypeLike) -> Any:
        """The next values of the stream called ``name``."""
        state = self.stream(name)
        drawn = self.generate(state, math.prod(shape), dtype)
        state[:1] += 1
        return drawn.reshape(tuple(shape))

    def generate(self, state: Any, count: int, dtype: npt.DTypeLike) -> Any:
        """``count`` values at the position that ``state`` holds, which is left as it is."""
        xp = self.xp
        blocks = xp.arange(-(-count // 4), dtype=np.uint64)
        position, key = state[:1], state[1:]
        counter = (blocks & LOW, blocks >> 32, position & LOW, position >> 32)
        words = xp.stack(philox(xp, counter, (key & LOW, key >> 32)), axis=1).reshape(-1)[:count]
        drawn = (words >> 8).astype(dtype)
        drawn *= 2.0**-24
        return drawn

    def stream(self, name: str) -> Any:
        """The state of the stream called ``name``: the same array on every call."""
        if name not in self._states:
            self._states[name] = self.xp.zeros(2, np.uint64)
            self._place(name, 0)
        return self._states[name]

    def _place(self, name: str, position: int) -> None:
        seed = self._streams.seed % 2**64
        own = f"{name}/{self._streams.rank}" if self._streams.rank else name
        key = (seed & LOW ^ seed >> 32) | zlib.crc32(own.encode()) << 32
        state = self.stream(name)
        state[0] = np.uint64(position)
        state[1] = np.uint64(key)

    def state(self) -> dict[str, int]:
        """The position of each stream; reading it waits for the device."""
        return {name: int(state[0]) for name, state in self._states.items()}

    def restore(self, positions: Mapping[str, int]) -> None:
        """Continue at these positions, with the present seed; streams that are not among them begin anew."""
        for name in {**self._states, **positions}:
            self._place(name, positions.get(name, 0))


def draws_in(place: Place, streams: Streams, xp: Any) -> Draws:
    """The draws of an engine without a kernel of its own.

    Args:
        place: the engine's place.
        streams: the net's random streams.
        xp: array module of the place.
    """
    return HostDraws(streams) if place is HOST else PhiloxDraws(streams, xp)


def philox(xp: Any, counter: Sequence[Any], key: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).

    Args:
        xp: array module.
        counter: four arrays of 32-bit words held as uint64, which broadcast.
        key: two such arrays.

    Returns:
        The four output words, likewise.

    Example:
        >>> words = philox(np, [np.zeros(1, np.uint64)] * 4, [np.zeros(1, np.uint64)] * 2)
        >>> [f"{int(word[0]):08x}" for word in words]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    a, b, c, d = xp.broadcast_arrays(*counter)
    left, right = key
    for turn in range(ROUNDS):
        if turn:
            left, right = (left + INCREMENTS[0]) & LOW, (right + INCREMENTS[1]) & LOW
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b, c, d = (second >> 32) ^ b ^ left, second & LOW, (first >> 32) ^ d ^ right, first & LOW
    return a, b, c, d
