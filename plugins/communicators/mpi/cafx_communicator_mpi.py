"""Communicator over MPI, for `cafx launch`, mpiexec and srun."""

from __future__ import annotations

import atexit
import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.net import ROOT, Communicator

if TYPE_CHECKING:
    from cafx.conformance.kinds.communicator import CommunicatorCase

MOST = 1 << 28
"""Values of one call; MPI counts them in 32 bits."""
MOST_COMPRESSED = 1 << 22
"""Values that are compressed at a time, which bounds memory."""
COMPRESSION = "bf16"
Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.uint16]


def to_bf16(values: Floats) -> Halves:
    """The nearest bfloat16 of each value, ties to even, as their 16 bits.

    Example:
        >>> from_bf16(to_bf16(np.array([1, 1.00390625, 1e-40, np.inf], np.float32))).tolist()[:2]
        [1.0, 1.0]
    """
    bits = values.view(np.uint32)
    rounded = ((bits + (np.uint32(0x7FFF) + (bits >> 16 & 1))) >> 16).astype(np.uint16)
    rounded[np.isnan(values)] = 0x7FC0
    return rounded


def from_bf16(halves: Halves) -> Floats:
    """The values of `to_bf16`'s results."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


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
    partial sums are computed by one rank each, and then handed to the others. Arrays on a device go by the host's
    memory.

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
        self._compresses = False
        atexit.register(self.close)

    def compress_gradients(self, kind: str) -> None:
        """Let `start_allreduce` send float32 in fewer bits; `allreduce` stays exact.

        Each rank sums one part of the array in float32, and hands out that sum, again in fewer bits.

        Args:
            kind: "bf16": half the bytes, with 8 significant bits.

        Raises:
            CafxError: another kind.
        """
        if kind != COMPRESSION:
            raise CafxError("unknown compression of gradients", found=kind, expected=COMPRESSION)
        self._compresses, self.compression = True, kind

    def allreduce(self, array: Any) -> None:
        """See `Communicator`."""
        self._start(array, self._sum)()

    def start_allreduce(self, array: Any) -> Callable[[], None]:
        """See `Communicator`."""
        compresses = self._compresses and self.size > 1 and array.dtype == np.float32
        return self._start(array, self._sum_compressed if compresses else self._sum)

    def _start(self, array: Any, add: Callable[[Any], None]) -> Callable[[], None]:
        if isinstance(array, np.ndarray):
            return self._thread.submit(add, array).result
        values = array.get()  # here, where the device's stream is that of the computation
        ended = self._thread.submit(add, values)

        def wait() -> None:
            ended.result()
            array.set(values)

        return wait

    def _sum(self, values: npt.NDArray[Any]) -> None:
        for first in range(0, values.size, MOST):
            self._checked(self._all.Allreduce, self._library.IN_PLACE, values[first : first + MOST])

    def _sum_compressed(self, values: Floats) -> None:
        for first in range(0, values.size, MOST_COMPRESSED):
            part = values[first : first + MOST_COMPRESSED]
            each = -(-part.size // self.size)
            sent, received = np.zeros(each * self.size, np.uint16), np.empty(each * self.size, np.uint16)
            sent[: part.size] = to_bf16(part)
            self._checked(self._all.Alltoall, sent, received)
            total = np.zeros(each, np.float32)
            for addend in received.reshape(self.size, each):
                total += from_bf16(addend)
            self._checked(self._all.Allgather, to_bf16(total), received)
            part[...] = from_bf16(received[: part.size])

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

    @classmethod
    def cases(cls) -> Iterable[CommunicatorCase]:
        """Processes that mpiexec starts."""
        from cafx.conformance.kinds.communicator import CommunicatorCase

        launcher = Path(sys.executable).with_name("mpiexec")
        command = str(launcher) if launcher.exists() else shutil.which("mpiexec")

        def start(size: int, program: str) -> tuple[str, list[int]]:
            asked = [str(command), "-n", str(size), sys.executable, "-c", program]
            ended = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
            return ended.stdout + ended.stderr, [ended.returncode]

        yield CommunicatorCase("mpiexec", start, lambda: None if command else "no mpiexec: pip install mpich")
