"""Step: one entry of a net's schedule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from cafx.kernel.blob import Blob
from cafx.kernel.net.layer import Layer

Run = Callable[[], None]


@attrs.define(eq=False)
class Step:
    """One or, after a fusion, several layers run by one call.

    Attributes:
        layer: the layer (of a fused step, the first).
        index: its place in the net.
        bottom, top: what it reads and writes.
        propagate_down: for each bottom, whether its gradient is wanted.
        needs_backward: whether backward runs it at all.
        forward, backward: the calls.
        routine: who runs it: "plain", or the engine's name.
        note: why the engine does not, what was fused, or in which way it is done.
        parts: the steps this one stands for; itself, if it is not a fusion.
        object: the engine's routine, where there is one.
    """

    layer: Layer
    index: int
    bottom: list[Blob]
    top: list[Blob]
    propagate_down: list[bool]
    needs_backward: bool
    forward: Run = attrs.field(repr=False)
    backward: Run = attrs.field(repr=False)
    routine: str = "plain"
    note: str = ""
    parts: tuple[Step, ...] = ()
    object: Any = attrs.field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The layers' names, joined where several were fused."""
        return "+".join(part.layer.name for part in self.parts) if self.parts else self.layer.name

    @property
    def first(self) -> int:
        """Index of the first layer it runs."""
        return self.parts[0].index if self.parts else self.index

    @property
    def last(self) -> int:
        """Index of the last layer it runs."""
        return self.parts[-1].index if self.parts else self.index


def plain_step(layer: Layer, index: int, bottom: list[Blob], top: list[Blob], down: list[bool], needed: bool) -> Step:
    """The step that runs a layer as its author wrote it."""
    forward, backward = partial(layer.forward, bottom, top), partial(layer.backward, top, down, bottom)
    return Step(layer, index, bottom, top, down, needed, forward, backward)
