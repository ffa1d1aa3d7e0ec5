"""The engine: layers as their authors wrote them, on a GPU.

Whoever chooses an engine imports this module, on machines without a GPU as well: what an engine needs once it is
created is imported there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from cafx.kernel import Engine, Registry
from cafx.kernel.net import Compilation, Device, Program, Step, Streams
from cafx_engine_cupy import driver

if TYPE_CHECKING:
    from cafx_engine_cupy.draws import CudaDraws
    from cafx_engine_cupy.program import ScratchBuffers
    from cafx_engine_cupy.staging import CudaStaging


class CuPy(Engine):
    """Every layer on a GPU as it is written, through CuPy; passes are recorded as CUDA graphs.

    The first two passes run call by call; the third is recorded, and further ones are launched as a
    whole, which takes some microseconds of Python. Steps that need the host, such as data layers,
    run between the graphs.

    Args:
        plugins: where routines and update rules are found.
        precision: ``float32``, or ``tf32``: matrix products round their operands to 10 bits of
            mantissa, on the tensor cores of GPUs since Ampere.
        threads: not used.
        device: index of the GPU.

    Raises:
        CafxError: no GPU of that index, or another precision.
    """

    name: ClassVar[str] = "cupy"
    priority: ClassVar[int] = 5
    precisions: ClassVar[tuple[str, ...]] = ("float32", "tf32")
    gpu: ClassVar[bool] = True
    buffer_values: ClassVar[int] = 1 << 28
    modules: ClassVar[tuple[str, ...]] = ("cupy",)

    def __init__(
        self, plugins: Registry, *, precision: str = "float32", threads: int | None = None, device: int = 0
    ) -> None:
        from cafx_engine_cupy.array_module import ArrayModule
        from cafx_engine_cupy.places import CudaPlace
        from cafx_engine_cupy.session import Session

        super().__init__(plugins, precision=precision, threads=threads, device=device)
        self.session = Session(device, tf32=precision != "float32")
        self.place = CudaPlace(self.session)
        self.xp = ArrayModule(self.session)
        self.recording = True

    @classmethod
    def unavailable(cls) -> str | None:
        """Why CUDA cannot be used here, or None."""
        return driver.missing(*cls.modules)

    @classmethod
    def devices(cls) -> Sequence[Device]:
        """The GPUs."""
        if cls.unavailable() is not None:
            return ()
        import cupy

        return [_device(cupy, index, cls.versions()) for index in range(cupy.cuda.runtime.getDeviceCount())]

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of the software, by name."""
        import cupy

        found = driver.find_driver()
        assert found is not None
        runtime = cupy.cuda.runtime.runtimeGetVersion()
        return {
            "driver": "CUDA " + ".".join(map(str, found.version)),
            "CUDA": f"{runtime // 1000}.{runtime % 1000 // 10}",
            "CuPy": cupy.__version__,
        }

    @property
    def program(self) -> type[Program]:
        """A program that records itself as it runs."""
        from cafx_engine_cupy.program import RecordedProgram

        return RecordedProgram

    def draws(self, streams: Streams) -> CudaDraws:
        """Random numbers, drawn on the GPU."""
        from cafx_engine_cupy.draws import CudaDraws

        return CudaDraws(streams, self.session)

    def staging(self) -> CudaStaging:
        """What sends batches to the GPU before they are needed."""
        from cafx_engine_cupy.staging import CudaStaging

        return CudaStaging(self.session)

    def select(self, compilation: Compilation) -> list[Step]:
        """One step per layer; the note says which of them stay outside of graphs."""
        self.session.use()
        return [self._noted(step) for step in super().select(compilation)]

    def _noted(self, step: Step) -> Step:
        if step.is_capturable:
            return step
        note = "; ".join(filter(None, (step.note, "outside of CUDA graphs: it needs the host")))
        return Step(step.layers, step.routines, note)

    def program_settings(self, compilation: Compilation) -> dict[str, Any]:
        """What a program records itself with, and the memory whose addresses its graphs contain."""
        return {
            "session": self.session,
            "recording": self.recording,
            "place": self.place,
            "parameter_places": compilation.parameter_places,
            "scratch": self.scratch_of(compilation),
        }

    def scratch_of(self, compilation: Compilation) -> list[ScratchBuffers]:
        """The scratch buffers whose addresses graphs contain."""
        return list({planned.layer.context.workspace: None for planned in compilation.plan.layers})

    def synchronize(self) -> None:
        """Wait for the GPU."""
        self.session.synchronize()


def _device(cupy: Any, index: int, versions: dict[str, str]) -> Device:
    with cupy.cuda.Device(index) as device:
        free, total = device.mem_info
        properties = cupy.cuda.runtime.getDeviceProperties(index)
        details = {"compute capability": f"{properties['major']}.{properties['minor']}", **versions}
        return Device(index, properties["name"].decode(), int(total), int(free), details)
