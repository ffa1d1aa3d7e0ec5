"""adjusted: any learning rate policy, with a warm-up at the start and a lower bound."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError, Message, Policy, at_least, option, registry
from cafx.kernel.schema import Dialect, Upgrade, extends, read_by

if TYPE_CHECKING:
    from cafx.conformance.kinds.policy import PolicyCase
    from cafx.conformance.kinds.upgrade import UpgradeCase

__version__ = "0.1.0"
READER = read_by("policy adjusted")
NAME = "adjusted"
TRIGGERS = ("warmup_iter", "rampup_interval", "min_lr")


@extends("SolverParameter")
class AdjustedParameter(Message):
    """Warm-up and lower bound of the rate."""

    warmup_iter: int = option(48, "int32", 0, doc="iterations of warm-up", check=at_least(0), effect=READER)
    warmup_start_lr: float = option(49, "float", 0.0, doc="first rate of the warm-up", effect=READER)
    rampup_interval: int = option(None, "int32", 0, doc="NVIDIA's warmup_iter", check=at_least(0), effect=READER)
    rampup_lr: float = option(None, "float", 0.0, doc="NVIDIA's warmup_start_lr", effect=READER)
    min_lr: float = option(None, "float", 0.0, doc="lower bound of the rate", check=at_least(0), effect=READER)
    adjusted_policy: str = option(None, "string", doc="the policy that is adjusted", effect=READER)


class Adjustments(Dialect):
    """Warm-up and lower bound of the learning rate, of Intel's and NVIDIA's forks."""

    fork = "NVIDIA, Intel"
    declares = (AdjustedParameter,)


class Adjust(Upgrade):
    """Turns a solver with a warm-up or a lower bound into one with the policy ``adjusted``."""

    def upgrade_solver(self, proto: Any, source: str) -> Any:
        """Set lr_policy, in place."""
        if proto.lr_policy and proto.lr_policy != NAME and any(getattr(proto, name) for name in TRIGGERS):
            proto.adjusted_policy, proto.lr_policy = proto.lr_policy, NAME
        return proto

    @classmethod
    def cases(cls) -> Iterable[UpgradeCase]:
        """A warm-up, and a solver without one."""
        from cafx.conformance.kinds.upgrade import UpgradeCase

        warm, plain = 'lr_policy: "{}" gamma: 0.1 warmup_iter: 5', 'lr_policy: "step" gamma: 0.1'
        new = warm.format("adjusted") + ' adjusted_policy: "step"'
        yield UpgradeCase("warm-up", warm.format("step"), new, "SolverParameter")
        yield UpgradeCase("plain", plain, plain, "SolverParameter")


class Adjusted(Policy):
    """rate = max(min_lr, inner rate); in the first iterations, the rate rises linearly to base_lr.

    With a start rate s and n iterations of warm-up, rate = s + (base_lr − s) · iteration / n below n.

    Raises:
        CafxError: the policy that is adjusted is missing or unknown; two warm-ups.
    """

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.require("adjusted_policy")
        if options.warmup_iter and options.rampup_interval:
            raise CafxError("warmup_iter and rampup_interval are both set", where="solver", remedy="remove one")
        inner = type(options)()
        inner.CopyFrom(options)
        inner.lr_policy = options.adjusted_policy
        self.inner: Policy = registry().load("policy", options.adjusted_policy)(inner)
        self.warm_up = int(options.warmup_iter or options.rampup_interval)
        self.start = float(options.warmup_start_lr if options.warmup_iter else options.rampup_lr)

    def rate(self, iteration: int) -> float:
        """The adjusted rate."""
        if iteration < self.warm_up:
            base = float(self.options.base_lr)
            return self.start + (base - self.start) * iteration / self.warm_up
        return max(float(self.options.min_lr), self.inner.rate(iteration))

    def step(self, iteration: int) -> int:
        """The step of the inner policy."""
        return self.inner.step(iteration)

    @classmethod
    def cases(cls) -> Iterable[PolicyCase]:
        """Warm-ups of both forks, a lower bound, and what is refused."""
        from cafx.conformance.kinds.policy import PolicyCase

        step = {"adjusted_policy": "step", "gamma": 0.5, "stepsize": 4}
        warm = {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 4: 0.5, 7: 0.5, 8: 0.25}
        yield PolicyCase("intel", {**step, "warmup_iter": 4, "warmup_start_lr": 0.2}, rates=warm)
        yield PolicyCase("nvidia", {**step, "rampup_interval": 4, "rampup_lr": 0.2}, rates=warm)
        poly = {"adjusted_policy": "poly", "power": 1.0, "max_iter": 4}
        bounded = {0: 1.0, 1: 0.75, 2: 0.5, 3: 0.3, 4: 0.3}
        yield PolicyCase("bounded", {**poly, "min_lr": 0.3}, rates=bounded, never_rises=True)
        yield PolicyCase("two", {**step, "warmup_iter": 2, "rampup_interval": 3}, error="both set")
        yield PolicyCase("nothing", {}, error="adjusted_policy")
        yield PolicyCase("inner", {"adjusted_policy": "step", "warmup_iter": 2}, error="gamma")
