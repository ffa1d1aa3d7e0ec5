"""The engine that runs every layer on the stand-in device, in strict passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cafx.conformance.device import DeviceModule, DevicePlace
from cafx.conformance.strict import StrictPassError, strict
from cafx.kernel import Engine
from cafx.kernel.blob import SyncedArray
from cafx.kernel.net import Arena, Compilation, Routine, Step, Update


class DeviceEngine(Engine):
    """Runs every layer on the stand-in device.

    Passes of layers that are capturable, and updates, are strict: see `cafx.conformance.strict`.
    What such a pass reads is on the device before it begins, and what it writes is written there.
    """

    name = "stand-in device"
    place = DevicePlace()
    xp = DeviceModule()

    def select(self, compilation: Compilation) -> list[Step]:
        """One step per layer, with strict passes."""
        steps = super().select(compilation)
        for routine in (routine for step in steps for routine in step.routines):
            if routine.layer.capturable:
                routine.forward = self._strictly(routine, backward=False)  # type: ignore[method-assign]
                routine.backward = self._strictly(routine, backward=True)  # type: ignore[method-assign]
        return steps

    def _strictly(self, routine: Routine, *, backward: bool) -> Callable[[], None]:
        run = routine.backward if backward else routine.forward
        what = f"{'backward' if backward else 'forward'} of {routine.layer.where}"

        def strictly() -> None:
            arrays = touched(routine, backward=backward)
            for array in arrays:
                if array.current and not array.is_current(self.place):
                    array.read(self.place)
            versions = [array.version for array in arrays]
            with strict(what):
                run()
            for array, version in zip(arrays, versions, strict=True):
                if array.version != version and array.current and not array.is_current(self.place):
                    raise StrictPassError(
                        f"{what}: it writes on the host: compute with self.xp, or set capturable = False"
                    )

        return strictly

    def updater(self, rule: Any, options: Any, arena: Arena) -> Update:
        """The rule over the arena, in strict updates."""
        update = super().updater(rule, options, arena)
        run = update.run

        def strictly(rate: float, iteration: int) -> None:
            arena.synchronise()
            with strict(f"update by solver type {options.type}"):
                run(rate, iteration)

        update.run = strictly  # type: ignore[method-assign]
        return update


def touched(routine: Routine, *, backward: bool) -> Sequence[SyncedArray]:
    """The arrays that a pass of a layer reads or writes: what the routine declares, and the parameters."""
    declared = [
        use.storage for access in routine.accesses(backward=backward) for use in (*access.reads, *access.writes)
    ]
    blobs = routine.layer.blobs
    parameters = [array for blob in blobs for array in (blob.synced_data, blob.synced_diff)[: 1 + backward]]
    return list(dict.fromkeys([*declared, *parameters]))
