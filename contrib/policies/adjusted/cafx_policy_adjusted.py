"""adjusted: any learning rate policy, with a warm-up at the start and a lower bound."""

from __future__ import annotations

from typing import Any

from cafx.kernel import CafxError, Message, Policy, at_least, option, registry
from cafx.kernel.schema import Dialect, Upgrade, extends, read_by

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
