"""Stopping at the first NaN or infinity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cafx.kernel.blob import HOST, Blob
from cafx.kernel.errors import CafxError
from cafx.kernel.net import Net, Update

NEVER = 2**31 - 1
"""An iteration that never comes."""
PENDING = 64
"""Iterations whose values are looked at together on a device."""


class FiniteCheck:
    """Raises when the loss or a parameter is not finite.

    On the host it raises at once. Reading a value from a device would stall it in every iteration;
    there, values are kept, and looked at on the device, many iterations at a time; `report` reads
    the first iteration that was not finite before results are shown or saved.

    Args:
        net: the training net.
        update: what updates its parameters.
        prefix: what snapshots' names begin with, for the error's remedy.
        enabled: False to continue in spite of NaN and infinity.
    """

    def __init__(self, net: Net, update: Update, prefix: Path, *, enabled: bool) -> None:
        self._net, self._update, self._prefix, self._enabled = net, update, prefix, enabled
        self._xp = net.context.xp
        self._deferred = net.engine.place is not HOST
        self._records = [_Record(self._xp), _Record(self._xp)]

    def check_loss(self, loss: Any, iteration: int) -> None:
        """Raise, or remember for `report`, if the loss is not finite.

        Args:
            loss: a value in the engine's place, which nobody overwrites.
            iteration: the present iteration.
        """
        if self._enabled and self._deferred:
            self._records[0].add(loss, iteration)
        elif self._enabled and not np.isfinite(loss):
            raise self._error("the loss is not finite at", iteration)

    def check_parameters(self, iteration: int) -> None:
        """The same for the parameters after the update of an iteration."""
        if not self._enabled or self._update.first_not_finite is not None:
            return
        finite = self._update.finite()
        if self._deferred:
            self._records[1].add(self._xp.where(finite, 0.0, np.nan), iteration)
        elif not finite:
            raise self._error("a parameter is not finite after the update of", iteration)

    def report(self) -> None:
        """Raise if a loss or a parameter has not been finite, or a value has failed a layer's check on a device."""
        if not self._deferred:
            return
        self._net.engine.synchronize()
        self._net.context.checks.verify()
        if not self._enabled:
            return
        recorded = [record.first() for record in self._records]
        if self._update.first_not_finite is not None:
            recorded.append(int(self._update.first_not_finite))
        if min(recorded) != NEVER:
            raise self._error("the loss or a parameter is not finite since", min(recorded))

    def _error(self, what: str, iteration: int) -> CafxError:
        found = first_not_finite(self._net)
        blob = f"first non-finite blob: '{found[1].name}' of layer '{found[0]}'" if found else "only in its outputs"
        return CafxError(
            f"{what} iteration {iteration} ({blob})",
            where="solver",
            remedy="lower base_lr, set clip_gradients, or look at that layer's input; "
            f"earlier snapshots are kept ({self._prefix}_iter_*)",
        )


class _Record:
    """The first iteration whose value was not finite, found on the device."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._pending: list[tuple[int, Any]] = []
        self._first: Any = None

    def add(self, value: Any, iteration: int) -> None:
        """Remember an iteration's value."""
        self._pending.append((iteration, value))
        if len(self._pending) == PENDING:
            self._fold()

    def first(self) -> int:
        """The first iteration whose value was not finite; `NEVER` if there is none."""
        if self._pending:
            self._fold()
        return NEVER if self._first is None else int(self._first)

    def _fold(self) -> None:
        xp = self._xp
        iterations = xp.asarray(np.array([iteration for iteration, _ in self._pending]))
        values = xp.stack([value for _, value in self._pending])
        first = xp.where(xp.isfinite(values), NEVER, iterations).min()
        self._first = first if self._first is None else xp.minimum(self._first, first)
        self._pending = []


def first_not_finite(net: Net) -> tuple[str, Blob] | None:
    """The first layer, in forward order, with a NaN or infinity, and the blob it is in.

    Blobs whose memory others have used since are passed over.
    """
    for planned in net.program.plan.layers:
        for blob in (*planned.layer.blobs, *planned.tops):
            if blob.synced_data.current and not np.isfinite(blob.host()).all():
                return planned.layer.name, blob
    return None
