"""Communicator over NCCL, between GPUs, one for each process that MPI has started."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cafx.kernel import CafxError, registry
from cafx.kernel.net import ROOT
from cafx_communicator_mpi import MPI

if TYPE_CHECKING:
    from cafx.conformance.kinds.communicator import CommunicatorCase

TYPES = {"float16": "NCCL_FLOAT16", "float32": "NCCL_FLOAT32", "float64": "NCCL_FLOAT64"}
NEEDED = "cafx[cuda]", "cafx-communicator-nccl[cuda]"


def _library() -> Any:
    """CuPy's NCCL.

    Raises:
        CafxError: CuPy or NCCL cannot be loaded.
    """
    try:
        import cupy
        from cupy.cuda import nccl
    except ImportError as error:
        remedy = f"run: {registry().install_line(*NEEDED)}"
        raise CafxError("NCCL needs CuPy", found=str(error), remedy=remedy) from error
    if not nccl.available:
        remedy = f"run: {registry().install_line(*NEEDED)}"
        raise CafxError("NCCL cannot be loaded", found="CuPy without libnccl", remedy=remedy)
    return cupy, nccl


class NCCL(MPI):
    """Processes with one GPU each: arrays on GPUs go from GPU to GPU by NCCL, everything else by MPI.

    Sums are made on a stream of their own: they begin when the computation has come to where they are asked for, and
    go on beside it. Nothing waits on the host.

    Attributes:
        device: index of this process's GPU: its number among the processes of its machine, or 0 where it is shown
            only one GPU.

    Raises:
        CafxError: CuPy, NCCL or MPI cannot be loaded; there are fewer GPUs than processes, or two processes use one.

    Source: NVIDIA's NCCL, through CuPy.
    """

    name: ClassVar[str] = "nccl"

    def __init__(self) -> None:
        self._cupy, self._nccl = _library()
        super().__init__()
        runtime = self._cupy.cuda.runtime
        local = self._all.Split_type(self._library.COMM_TYPE_SHARED)
        number, processes, count = local.Get_rank(), local.Get_size(), runtime.getDeviceCount()
        if 1 < count < processes:
            raise CafxError(
                "fewer GPUs than processes",
                where=platform.node(),
                found=f"{processes} processes, {count} GPUs",
                remedy=f"start {count} processes on each machine",
            )
        self.device: int = number if count > 1 else 0
        self._cupy.cuda.Device(self.device).use()
        self._links: Any = None

    def compress_gradients(self, kind: str) -> None:
        """Refuse: GPUs exchange what they compute with.

        Raises:
            CafxError: always.
        """
        raise CafxError("NCCL does not compress gradients", found=kind, remedy="leave compression out")

    def allreduce(self, array: Any) -> None:
        """See `Communicator`."""
        if isinstance(array, np.ndarray):
            super().allreduce(array)
        else:
            self.start_allreduce(array)()

    def start_allreduce(self, array: Any) -> Callable[[], None]:
        """See `Communicator`."""
        if isinstance(array, np.ndarray):
            wait: Callable[[], None] = super().start_allreduce(array)
            return wait
        kind, operation = self._type(array), self._nccl.NCCL_SUM
        return self._beside(
            array, lambda at, stream: self._links.allReduce(at, at, array.size, kind, operation, stream)
        )

    def broadcast(self, array: Any) -> None:
        """See `Communicator`."""
        if isinstance(array, np.ndarray):
            super().broadcast(array)
            return
        kind = self._type(array)
        self._beside(array, lambda at, stream: self._links.broadcast(at, at, array.size, kind, ROOT, stream))()

    def _type(self, array: Any) -> int:
        """NCCL's number of the array's type."""
        if array.dtype.name not in TYPES:
            raise CafxError("NCCL does not sum values of this type", found=array.dtype, expected=", ".join(TYPES))
        return int(getattr(self._nccl, TYPES[array.dtype.name]))

    def _beside(self, array: Any, call: Callable[[int, int], None]) -> Callable[[], None]:
        """Make a call on the exchange's stream, after what is asked of the current one.

        All calls are on one stream, since NCCL's calls of two ranks must be in one order.

        Returns:
            A function after which the current stream goes on with the result.
        """
        current = self._cupy.cuda.get_current_stream
        if self._links is None:
            self._connect(self._cupy.cuda.Device())
        self._stream.wait_event(current().record())
        try:
            call(array.data.ptr, self._stream.ptr)
        except self._nccl.NcclError as error:
            raise CafxError(f"NCCL fails: {error}", where=f"rank {self.rank}") from error
        done = self._stream.record()
        return lambda: current().wait_event(done)

    def _connect(self, device: Any) -> None:
        """Make NCCL's communicator, on the GPU that the engine has made current."""
        own = f"{platform.node()} {device.pci_bus_id}"
        every = [each.decode() for each in self.gather(own.encode())]
        shared = next((each for each in every if every.count(each) > 1), None)
        if shared is not None:
            raise CafxError(
                "several processes use one GPU",
                found=f"{shared}: ranks {', '.join(str(rank) for rank, each in enumerate(every) if each == shared)}",
                remedy="give each process a GPU of its own, or use the communicator mpi",
            )
        identity = self.gather(self._nccl.get_unique_id() if self.is_root else b"")[ROOT]
        with device:
            self._links = self._nccl.NcclCommunicator(self.size, identity, self.rank)
            self._stream = self._cupy.cuda.Stream(non_blocking=True)

    def close(self) -> None:
        """See `Communicator`."""
        links, self._links = getattr(self, "_links", None), None
        if links is not None:
            links.destroy()
        super().close()

    @classmethod
    def cases(cls) -> Iterable[CommunicatorCase]:
        """None that can run without several GPUs; `cafx launch` starts them."""
        from cafx.conformance.kinds.communicator import CommunicatorCase

        yield CommunicatorCase("gpus", lambda size, program: ("", [1]), lambda: "needs a GPU per process")
