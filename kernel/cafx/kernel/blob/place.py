"""Places: the kinds of memory an array can be kept in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64
"""Bytes of a cache line: buffers begin on one."""


class Place:
    """A kind of memory: NumPy on the host, CUDA, an engine's blocked layout.

    A place makes arrays and carries values between them and flat host arrays; what its arrays are
    is its own affair. Subclasses implement `allocate`, `from_host` and `to_host`.

    Attributes:
        name: how people are told of it.
        memory: what its bytes are. Places of equal ``memory`` can share a pool.
        shareable: whether its arrays may be slices of a pool, which hold garbage when they are
            handed out. False where bytes outside the values, such as padding, must stay zero.

    Example:
        >>> import numpy as np
        >>> from cafx.kernel.blob import HOST, Place, SyncedArray
        >>> class Negated(Place):
        ...     name = "negated"
        ...     def allocate(self, count, dtype):
        ...         return np.zeros(count, dtype)
        ...     def from_host(self, host, array):
        ...         array[...] = -host
        ...     def to_host(self, array, host):
        ...         host[...] = -array
        >>> values = SyncedArray(2, "float32")
        >>> values.write(HOST)[...] = [1, 2]
        >>> values.read(Negated()).tolist()
        [-1.0, -2.0]
    """

    name: str = "place"
    memory: str = "host"
    shareable: bool = True

    def allocate(self, count: int, dtype: npt.DTypeLike) -> Any:
        """A zeroed array of ``count`` values."""
        raise NotImplementedError

    def from_host(self, host: npt.NDArray[Any], array: Any) -> None:
        """Write the values of a flat host array into ``array``."""
        raise NotImplementedError

    def to_host(self, array: Any, host: npt.NDArray[Any]) -> None:
        """Write the values of ``array`` into a flat host array."""
        raise NotImplementedError

    def convert(self, source_place: Place, source: Any, target: Any) -> bool:
        """Write the values of another place's array straight into ``target``, without the host.

        Args:
            source_place: where ``source`` is.
            source: an array of that place.
            target: an array of this place.

        Returns:
            False where there is no direct way; nothing has been written then.
        """
        return False

    def nbytes(self, count: int, dtype: npt.DTypeLike) -> int:
        """Bytes of an array of ``count`` values, padding included."""
        return count * np.dtype(dtype).itemsize

    def allocate_bytes(self, nbytes: int) -> Any:
        """Uninitialised bytes for a pool, which begin on a cache line."""
        return self.allocate(nbytes, np.uint8)

    def view(self, raw: Any, count: int, dtype: npt.DTypeLike) -> Any:
        """The array of ``count`` values over ``nbytes`` bytes of a pool."""
        return raw.view(np.dtype(dtype))


class HostPlace(Place):
    """Plain NumPy memory."""

    name = "host"

    def allocate(self, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Zeroed memory, which the system provides page by page when it is first touched."""
        return np.zeros(count, dtype)

    def from_host(self, host: npt.NDArray[Any], array: npt.NDArray[Any]) -> None:
        """A copy within host memory."""
        np.copyto(array, host)

    def to_host(self, array: npt.NDArray[Any], host: npt.NDArray[Any]) -> None:
        """A copy within host memory."""
        np.copyto(host, array)

    def allocate_bytes(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Uninitialised bytes that begin on a cache line."""
        raw = np.empty(nbytes + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        return raw[start : start + nbytes]


HOST: Place = HostPlace()
