"""What solver and policy plugins implement: one update rule, one learning-rate formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy.typing as npt

from cafx.kernel.errors import CafxError
from cafx.kernel.net import Arena, Engine
from cafx.kernel.training.update import Update

Array = npt.NDArray[Any]


class Policy:
    """A learning-rate formula; a plugin of group ``cafx.policies``.

    Args:
        options: the SolverParameter.

    Raises:
        CafxError: an option the formula needs is missing or senseless.
    """

    def __init__(self, options: Any) -> None:
        self.options = options

    def rate(self, iteration: int) -> float:
        """The learning rate of an iteration (counted from 0)."""
        raise NotImplementedError

    def step(self, iteration: int) -> int:
        """How many steps the rate has taken, for the solverstate."""
        return 0

    def require(self, *fields: str, **least: float) -> None:
        """CafxError unless all these options are stated, those with a bound no smaller than it."""
        stated = {field.name: value for field, value in self.options.ListFields()}
        name = f"learning rate policy '{self.options.lr_policy}'"
        for field in (*fields, *least):
            if field not in stated:
                raise CafxError(f"{name} needs {field}", where="solver")
        for field, bound in least.items():
            if stated[field] < bound:
                raise CafxError(
                    f"{name}: {field}", where="solver", found=f"{stated[field]:g}",
                    expected=f"at least {bound:g}",
                )  # fmt: skip


class UpdateRule:
    """How a solver turns a gradient into an update; a plugin of group ``cafx.solvers``.

    It works value by value on flat arrays, so that they may be cut at will and the parts run at once.

    Class attributes:
        slots: how many arrays it remembers, each as large as the parameters.

    Args:
        options: the SolverParameter.

    Raises:
        CafxError: options that make no sense for this rule.
    """

    slots: ClassVar[int] = 1

    def __init__(self, options: Any) -> None:
        self.options = options

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """Replace the gradient in ``diff`` by what is to be subtracted from the parameters.

        Args:
            diff: gradient, already averaged, clipped and regularised; the update on return.
            history: the rule's memory for these values, one array a slot; changed in place.
            rate: learning rate times the parameter's lr_mult.
            iteration: iterations done, from 0.
        """
        raise NotImplementedError

    def updater(self, options: Any, arena: Arena, engine: Engine) -> Update:
        """This rule applied to a net's parameters, for engines without a fused form of it.

        Args:
            options: the SolverParameter.
            arena: the parameters.
            engine: whose threads and array module are used.
        """
        return Update(self, options, arena, engine)

    def refuse(self, field: str, why: str) -> CafxError:
        """The error for an option this rule cannot use."""
        return CafxError(
            f"solver '{self.options.type}': {why}", where="solver", found=f"{field}: {getattr(self.options, field):g}"
        )
