"""NCCL: pycaffe's interface to training in several processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from caffe.arguments import ArgumentError
from cafx.kernel.net import Communicator
from cafx.kernel.training import Replicas
from cafx_communicator_local import Local, new_uid


class Trainer(Protocol):
    """What is needed of a solver of pycaffe."""

    _solver: Any

    def _synchronised(self, run: Callable[[], Any]) -> None:
        """Call ``run`` with what the script has written to arrays, and update these."""


class Later(Communicator):
    """Processes whose scripts say their numbers first, and where they meet later: until then, each is alone.

    Args:
        rank, size: number of this process, and of all of them.
    """

    name = "later"

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.joined: Communicator | None = None

    def allreduce(self, array: Any) -> None:
        """See `Communicator`."""
        if self.joined is not None:
            self.joined.allreduce(array)

    def broadcast(self, array: Any) -> None:
        """See `Communicator`."""
        if self.joined is not None:
            self.joined.broadcast(array)

    def gather(self, data: bytes) -> list[bytes]:
        """See `Communicator`."""
        return [data] * self.size if self.joined is None else self.joined.gather(data)

    def barrier(self) -> None:
        """See `Communicator`."""
        if self.joined is not None:
            self.joined.barrier()

    def abort(self, status: int = 1) -> None:
        """See `Communicator`."""
        if self.joined is not None:
            self.joined.abort(status)

    def close(self) -> None:
        """See `Communicator`."""
        if self.joined is not None:
            self.joined.close()


class NCCL:
    """The processes that train one net, as `set_solver_rank` and `set_solver_count` number them.

    Scripts of Caffe start one process per GPU, hand all the same uid, make a solver in each, and ``NCCL(solver, uid)``
    of it: this waits for the others. `bcast` sends the parameters of rank 0, ``solver.add_callback(nccl)`` lets
    gradients be averaged before each update. Data layers of rank r of R read records r, r + R, …; rank 0 tests, logs
    and writes snapshots.

    Processes of one machine exchange arrays by shared memory, from GPUs as well. Where mpiexec has started the
    processes and CAFX_COMMUNICATOR says so, they exchange arrays by that communicator, and there is nothing to do here.

    Args:
        solver: this process's solver.
        uid: what `new_uid` returned, the same in all processes; whoever knows it can join.

    Raises:
        CafxError: the others do not come.
    """

    def __init__(self, solver: Trainer, uid: bytes) -> None:
        if not isinstance(uid, (bytes, bytearray)):
            raise ArgumentError("is not a uid", found=type(uid).__name__, expected="what NCCL.new_uid() returned")
        self._solver, self._kernel = solver, solver._solver
        self.communicator: Communicator = self._kernel.replicas.communicator
        if isinstance(self.communicator, Later) and self.communicator.joined is None:
            self.communicator.joined = Local(bytes(uid), self.communicator.rank, self.communicator.size)

    @staticmethod
    def new_uid() -> bytes:
        """A secret by which processes of one machine find each other."""
        return new_uid()

    def bcast(self) -> None:
        """Give all processes the parameters of rank 0."""

        def send() -> None:
            arena = self._kernel.net.arena
            arena.synchronise()
            self.communicator.broadcast(arena.data)

        self._solver._synchronised(send)

    def callbacks(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """What is called at the start of each iteration, and before each update."""
        if not isinstance(self.communicator, Later):
            return _nothing, _nothing
        kernel = self._kernel
        kernel.replicas = Replicas(self.communicator, kernel.net, kernel.update, kernel.options)
        average, kernel.update.exchange = kernel.update.exchange, kernel.net.arena.synchronise
        return _nothing, average


def _nothing() -> None:
    """What one process alone exchanges, and what is exchanged elsewhere."""
