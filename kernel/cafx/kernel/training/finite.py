"""Stopping at the first NaN or infinity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cafx.kernel.blob import HOST, Blob
from cafx.kernel.errors import CafxError
from cafx.kernel.net import Net

NEVER = 2**31 - 1
"""An iteration that never comes."""


class FiniteCheck:
    """Raises when the loss or a parameter is not finite.

    On the host it raises at once. Reading a value from a device would stall it in every iteration;
    there, the first such iteration is recorded in the device's place, and `report` reads the record
    before results are shown or saved.

    Args:
        net: the training net.
        prefix: what snapshots' names begin with, for the error's remedy.
        enabled: False to continue in spite of NaN and infinity.
    """

    def __init__(self, net: Net, prefix: Path, *, enabled: bool) -> None:
        self._net, self._prefix, self._enabled = net, prefix, enabled
        self._deferred = net.engine.place is not HOST
        self._first: Any = net.context.xp.full((), NEVER)

    def check(self, finite: Any, what: str, iteration: int) -> None:
        """Raise, or record for `report`, if a flag is false.

        Args:
            finite: the flag, in the engine's place.
            what: what is not finite otherwise, for the error.
            iteration: the present iteration.
        """
        if self._enabled and self._deferred:
            xp = self._net.context.xp
            self._first = xp.where(finite, self._first, xp.minimum(self._first, iteration))
        elif self._enabled and not finite:
            raise self._error(what, iteration)

    def report(self) -> None:
        """Raise if an iteration has been recorded."""
        if self._deferred and int(self._first) != NEVER:
            raise self._error("the loss or a parameter is not finite since", int(self._first))

    def _error(self, what: str, iteration: int) -> CafxError:
        found = first_not_finite(self._net)
        blob = f"first non-finite blob: '{found[1].name}' of layer '{found[0]}'" if found else "only in its outputs"
        return CafxError(
            f"{what} iteration {iteration} ({blob})",
            where="solver",
            remedy="lower base_lr, set clip_gradients, or look at that layer's input; "
            f"earlier snapshots are kept ({self._prefix}_iter_*)",
        )


def first_not_finite(net: Net) -> tuple[str, Blob] | None:
    """The first layer, in forward order, with a NaN or infinity, and the blob it is in.

    Blobs whose memory others have used since are passed over.
    """
    for planned in net.program.plan.layers:
        for blob in (*planned.layer.blobs, *planned.tops):
            if blob.synced_data.current and not np.isfinite(blob.host()).all():
                return planned.layer.name, blob
    return None
