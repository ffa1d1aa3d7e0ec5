"""LARC: stochastic gradient descent with a rate for each parameter blob, for large batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from cafx.kernel import CafxError, Message, above, one_of, option
from cafx.kernel.net import Arena, Engine
from cafx.kernel.schema import Dialect, Upgrade, extends, read_by
from cafx.kernel.training import Array, Update
from cafx_solver_sgd import SGD

if TYPE_CHECKING:
    from cafx.conformance.kinds.solver import SolverCase
    from cafx.conformance.kinds.upgrade import UpgradeCase

__version__ = "0.1.0"
READER = read_by("solver LARC")
SCALE, CLIP = "scale", "clip"


@extends("SolverParameter")
class LocalRateParameter(Message):
    """Rates of parameter blobs."""

    local_lr_auto: bool = option(50, "bool", False, doc="Intel's larc with policy scale", effect=READER)
    local_gw_ratio: float = option(51, "float", 0.001, doc="Intel's larc_eta", check=above(0), effect=READER)
    larc: bool = option(None, "bool", False, doc="a rate for each parameter blob", effect=READER)
    larc_policy: str = option(
        None, "string", SCALE, doc="scale the rate, or clip it", check=one_of(SCALE, CLIP), effect=READER
    )
    larc_eta: float = option(None, "float", 0.001, doc="ratio of update to weights", check=above(0), effect=READER)


class LocalRates(Dialect):
    """Rates of parameter blobs, of NVIDIA's and Intel's forks."""

    fork = "NVIDIA, Intel"
    declares = (LocalRateParameter,)


class Localise(Upgrade):
    """Turns a solver of type SGD with ``larc`` or ``local_lr_auto`` into one of type LARC."""

    def upgrade_solver(self, proto: Any, source: str) -> Any:
        """Set the type, in place."""
        if not (proto.larc or proto.local_lr_auto) or proto.type == "LARC":
            return proto
        if proto.type != "SGD":
            raise CafxError("larc works with solver type SGD only", where=source, found=f'type: "{proto.type}"')
        proto.type = "LARC"
        if proto.local_lr_auto and not proto.larc:
            proto.larc_policy, proto.larc_eta = SCALE, proto.local_gw_ratio
        return proto

    @classmethod
    def cases(cls) -> Iterable[UpgradeCase]:
        """Both spellings, another solver type, and a solver without either."""
        from cafx.conformance.kinds.upgrade import UpgradeCase

        yield UpgradeCase("larc", "larc: true", 'larc: true type: "LARC"', "SolverParameter")
        new = f'local_lr_auto: true local_gw_ratio: 0.5 type: "LARC" larc_policy: "{SCALE}" larc_eta: 0.5'
        yield UpgradeCase("auto", "local_lr_auto: true local_gw_ratio: 0.5", new, "SolverParameter")
        yield UpgradeCase("adam", 'larc: true type: "Adam"', message="SolverParameter", error="SGD")
        yield UpgradeCase("plain", 'type: "SGD"', 'type: "SGD"', "SolverParameter")


class LARC(SGD):
    """SGD with rate · λ for each parameter blob, where λ = η ‖W‖ / (‖∇W‖ + weight_decay ‖W‖).

    η is larc_eta. With larc_policy "clip" the rate is min(rate, λ). λ takes the place of lr_mult, except where
    lr_mult is 0; blobs whose weights or gradients are 0 have λ = 1.

    History: V, as SGD's. Options: momentum, larc_eta, larc_policy.

    Raises:
        CafxError: an unknown larc_policy.

    Source: You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks", 2017.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        if options.larc_policy not in (SCALE, CLIP):
            raise CafxError("unknown larc_policy", where="solver", found=options.larc_policy, expected="scale or clip")

    def updater(self, options: Any, arena: Arena, engine: Engine) -> Update:
        """SGD's update with one rate for each blob."""
        return LocalUpdate(self, options, arena, engine)

    @classmethod
    def cases(cls) -> Iterable[SolverCase]:
        """Both policies, and what is refused; the rates of blobs are not a matter of the rule itself."""
        from cafx.conformance.kinds.solver import SolverCase

        def formula(g: Array, history: Sequence[Array], rate: float, t: int, options: Any) -> tuple[Array, list[Array]]:
            velocity = options.momentum * history[0] + rate * g
            return velocity, [velocity]

        yield SolverCase("scale", {"momentum": 0.9, "larc_eta": 0.02}, formula)
        yield SolverCase("clip", {"larc_policy": CLIP, "larc_eta": 0.5}, formula)
        yield SolverCase("unknown-policy", {"larc_policy": "clop"}, error="larc_policy")


class LocalUpdate(Update):
    """An update in which each parameter blob has its own rate."""

    def apply(self, rate: float, scale: Any, iteration: int) -> None:
        """Find each blob's rate, then update as usual."""
        factor = 1.0 if scale is None else float(scale)
        self._chunks = list(self._by_blob(rate, factor))
        super().apply(rate, scale, iteration)

    def _by_blob(self, rate: float, factor: float) -> Iterator[Any]:
        whole = self.arena.ranges[0]
        for segment in self.arena.segments:
            lr_mult, decay_mult = segment.parameter.multipliers
            if lr_mult:
                lr_mult = self._ratio(segment, rate, factor)
            yield attrs.evolve(whole, start=segment.start, stop=segment.stop, lr_mult=lr_mult, decay_mult=decay_mult)

    def _ratio(self, segment: Any, rate: float, factor: float) -> float:
        part = slice(segment.start, segment.stop)
        weights = float(self._sum_of_squares(self.arena.data[part])) ** 0.5
        gradient = factor * float(self._sum_of_squares(self.arena.diff[part])) ** 0.5
        if not weights or not gradient:
            return 1.0
        trust = self.options.larc_eta * weights / (gradient + self.options.weight_decay * weights)
        return float(min(trust / rate, 1.0)) if self.options.larc_policy == CLIP and rate else float(trust)
