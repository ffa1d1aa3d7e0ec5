"""Places: kinds of memory an array may live in."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Place(Protocol):
    """A kind of memory an array may live in.

    A place's arrays are flat unless it says otherwise; what they are is the place's own affair, as
    long as it can make one and carry values between it and flat host arrays.
    """

    name: str

    def allocate(self, count: int, dtype: npt.DTypeLike) -> Any:
        """A zeroed array of ``count`` values."""

    def from_host(self, host: npt.NDArray[Any], array: Any) -> Any:
        """``array`` (or one in its stead) holding the values of ``host``."""

    def to_host(self, array: Any, host: npt.NDArray[Any]) -> None:
        """Write the values of ``array`` into ``host``."""


class HostPlace:
    """Plain NumPy memory."""

    name = "host"

    def allocate(self, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Zeroed memory, which the system provides page by page when it is first touched."""
        return np.zeros(count, dtype)

    def from_host(self, host: npt.NDArray[Any], array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A copy within host memory."""
        np.copyto(array, host)
        return array

    def to_host(self, array: npt.NDArray[Any], host: npt.NDArray[Any]) -> None:
        """A copy within host memory."""
        np.copyto(host, array)


HOST: Place = HostPlace()
