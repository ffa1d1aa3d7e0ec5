"""Communicator: the processes that train one net together, each with its own copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from cafx.kernel.errors import CafxError

ROOT = 0
"""The rank that writes snapshots, tests and reports."""


class Communicator:
    """The processes that train one net together; this one is alone. A plugin of group ``cafx.communicators``.

    All ranks call the same methods in the same order. Arrays are flat, of the net's type or float64, in the engine's
    place.

    Class attributes:
        name: name under which it is found.
        overlaps: whether `start_allreduce` returns before the sum is there.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        device: the GPU of this process; None for no wish.
        syncs_statistics: whether BatchNorm normalises by the statistics of all ranks' batches together.
        compression: how gradients are compressed; "" for not at all.

    Example:
        >>> alone = Communicator()
        >>> alone.size, alone.gather(b"here")
        (1, [b'here'])
    """

    name: ClassVar[str] = "self"
    overlaps: ClassVar[bool] = False
    rank = ROOT
    size = 1
    device: int | None = None
    syncs_statistics = False
    compression = ""

    @property
    def is_root(self) -> bool:
        """Whether this process writes snapshots, tests and reports."""
        return self.rank == ROOT

    def allreduce(self, array: Any) -> None:
        """Replace an array by its sum over all ranks; all ranks get the same bits.

        Raises:
            CafxError: another process has ended.
        """

    def start_allreduce(self, array: Any) -> Callable[[], None]:
        """Begin `allreduce` without waiting for it.

        Args:
            array: must not be read or written before it has ended.

        Returns:
            A function that waits for the end.
        """
        self.allreduce(array)
        return _nothing

    def compress_gradients(self, kind: str) -> None:
        """Let `start_allreduce` send gradients in fewer bits; `allreduce` stays exact.

        Args:
            kind: how, e.g. "bf16".

        Raises:
            CafxError: this communicator cannot do that.
        """
        raise CafxError("this communicator does not compress gradients", found=self.name, expected="mpi")

    def broadcast(self, array: Any) -> None:
        """Replace an array by that of rank 0."""

    def gather(self, data: bytes) -> list[bytes]:
        """The ``data`` of each rank, by rank, on all of them."""
        return [data]

    def barrier(self) -> None:
        """Return when all ranks have called it."""

    def abort(self, status: int = 1) -> None:
        """End all processes, this one last, without waiting for any of them."""

    def close(self) -> None:
        """Take leave of the other ranks at the end of the program."""


def _nothing() -> None:
    """What is there to wait for if everything is done."""


ALONE = Communicator()
