"""Dropout in TEST phase, in place: the identity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Phase, Unsupported

from ..execution import NOTHING, Run
from ..routine import Accelerated
from .chain import chain

if TYPE_CHECKING:
    from cafx.conformance.kinds.engine import EngineCase


class Dropout(Accelerated):
    """TEST phase in place; in TRAIN phase the layer draws its mask itself."""

    def choose(self) -> None:
        """Only where the values stay what and where they are."""
        if self.layer.phase is not Phase.TEST:
            raise Unsupported("draws in TRAIN phase")
        if self.bottoms[0] is not self.tops[0]:
            raise Unsupported("not in place")

    def make_forward(self) -> Run:
        """Nothing."""
        return NOTHING

    def make_backward(self) -> Run:
        """Nothing."""
        return NOTHING

    @classmethod
    def cases(cls) -> Iterable[EngineCase]:
        """In place, in TEST phase only: draws differ from numpy's order of layers."""
        from cafx.conformance.kinds.engine import EngineCase

        yield EngineCase("in-place", chain('type: "Dropout" include { phase: TEST }', top="conv"))
