"""Callbacks: functions of a script that are called before and after each layer's pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from caffe.nccl import NCCL
from cafx.kernel import Net as KernelNet

Callback = Callable[[int], Any]
Direction = Literal["forward", "backward"]


class LayerCallbacks:
    """Runs a net's passes, layer by layer where a script wants to be called in between.

    Args:
        net: the net.
    """

    def __init__(self, net: KernelNet) -> None:
        self._net = net
        self._runs = {"forward": net.run_forward, "backward": net.run_backward}
        self._callbacks: dict[str, list[Callback]] = {}

    def add(self, when: str, callback: Callback | NCCL) -> None:
        """Add a callback.

        Args:
            when: such as ``before_forward``.
            callback: called with the layer's index; an `NCCL` is not, as it sums all gradients before the update.
        """
        if not isinstance(callback, NCCL):
            self._callbacks.setdefault(when, []).append(callback)

    def accompany_solver(self) -> None:
        """Run the passes of the net's solver in this way, too."""
        net: Any = self._net
        by_step = net.run_backward_by_step
        net.run_forward = lambda start=None, end=None: self.run("forward", start, end)
        net.run_backward = lambda start=None, end=None: self.run("backward", start, end)
        net.run_backward_by_step = lambda done: self.run("backward") if self._of("backward") else by_step(done)

    def _of(self, direction: Direction) -> list[Callback]:
        return [each for when in ("before", "after") for each in self._callbacks.get(f"{when}_{direction}", [])]

    def run(self, direction: Direction, start: str | None = None, end: str | None = None) -> None:
        """Run a pass.

        Args:
            direction: of the pass.
            start, end: names of the first and last layer in the order of the pass; None for all.
        """
        if self._of(direction):
            self._run_by_layer(direction, start, end)
        else:
            self._runs[direction](start, end)

    def _run_by_layer(self, direction: Direction, start: str | None, end: str | None) -> None:
        names, is_forward = list(self._net.layer_names), direction == "forward"
        before, after = (self._callbacks.get(f"{when}_{direction}", []) for when in ("before", "after"))
        first, last = (0, len(names) - 1) if is_forward else (len(names) - 1, 0)
        first = first if start is None else names.index(start)
        last = last if end is None else names.index(end)
        loss = 0.0
        for index in range(first, last + 1) if is_forward else range(first, last - 1, -1):
            for callback in before:
                callback(index)
            self._runs[direction](names[index], names[index])
            loss += self._net.loss if is_forward else 0.0
            for callback in after:
                callback(index)
        if is_forward:
            self._net.loss = loss
