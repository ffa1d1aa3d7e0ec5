"""Communicator over MPI, for `cafx launch`, mpiexec and srun."""

from __future__ import annotations

import atexit
import itertools
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.net import ROOT, Communicator

MOST = 1 << 28
"""Values of one call; MPI counts them in 32 bits."""


def _library() -> Any:
    """mpi4py's MPI, initialised.

    Raises:
        CafxError: no MPI library is found.
    """
    try:
        import mpi4py

        mpi4py.rc(thread_level="multiple")
        from mpi4py import MPI as library  # noqa: N811
    except (ImportError, RuntimeError) as error:
        remedy = "install your cluster's MPI, or run: pip install mpich"
        raise CafxError("no MPI library can be loaded", found=str(error), remedy=remedy) from error
    return library


class MPI(Communicator):
    """All processes that mpiexec or srun has started, by MPI.

    Sums are made by a thread of their own, so that the backward pass goes on meanwhile. All ranks get the same bits:
    partial sums are computed by one rank each, and then handed to the others.

    Raises:
        CafxError: no MPI library is found.

    Source: the MPI standard; mpi4py.
    """

    name: ClassVar[str] = "mpi"
    overlaps: ClassVar[bool] = True

    def __init__(self) -> None:
        self._library = _library()
        self._all = self._library.COMM_WORLD.Dup()
        self.rank, self.size = self._all.Get_rank(), self._all.Get_size()
        self._thread = ThreadPoolExecutor(1, "cafx-mpi")
        atexit.register(self.close)

    def allreduce(self, array: Any) -> None:
        """See `Communicator`."""
        self.start_allreduce(array)()

    def start_allreduce(self, array: Any) -> Callable[[], None]:
        """See `Communicator`."""
        return self._thread.submit(self._sum, array).result

    def _sum(self, array: Any) -> None:
        host = isinstance(array, np.ndarray)
        values = array if host else array.get()
        for first in range(0, values.size, MOST):
            self._checked(self._all.Allreduce, self._library.IN_PLACE, values[first : first + MOST])
        if not host:
            array.set(values)

    def broadcast(self, array: Any) -> None:
        """See `Communicator`."""
        host = isinstance(array, np.ndarray)
        values = array if host else array.get()
        for first in range(0, values.size, MOST):
            self._checked(self._all.Bcast, values[first : first + MOST], ROOT)
        if not host:
            array.set(values)

    def gather(self, data: bytes) -> list[bytes]:
        """See `Communicator`."""
        sizes = np.zeros(self.size, np.int64)
        self._checked(self._all.Allgather, np.array([len(data)], np.int64), sizes)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        received = np.empty(starts[-1], np.uint8)
        mine = np.frombuffer(data, np.uint8)
        self._checked(self._all.Allgatherv, mine, [received, sizes, starts[:-1], self._library.BYTE])
        return [received[start:stop].tobytes() for start, stop in itertools.pairwise(starts)]

    def barrier(self) -> None:
        """See `Communicator`."""
        self._checked(self._all.Barrier)

    def _checked(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            function(*arguments)
        except self._library.Exception as error:
            raise CafxError(f"MPI fails: {error}", where=f"rank {self.rank}") from error

    def abort(self, status: int = 1) -> None:
        """See `Communicator`."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._library.COMM_WORLD.Abort(status)

    def close(self) -> None:
        """See `Communicator`."""
        self._thread.shutdown()
