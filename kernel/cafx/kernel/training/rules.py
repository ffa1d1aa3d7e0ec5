"""Base classes of solver and policy plugins: an update rule, a learning rate formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy.typing as npt

from cafx.kernel.errors import CafxError
from cafx.kernel.net import Arena, Engine
from cafx.kernel.schema import Message, schema
from cafx.kernel.training.update import Update

Array = npt.NDArray[Any]


class Configured:
    """Base class of rules and policies, with options of their own.

    Class attributes:
        Parameter: declaration of options of its own, if it needs any that SolverParameter lacks.

    Args:
        options: the SolverParameter.

    Attributes:
        options: the SolverParameter.
        own: the options of ``Parameter``; None without it.

    Raises:
        CafxError: an invalid option, or the declaration clashes with another plugin's.

    Example:
        >>> from cafx.kernel import message, option, registry
        >>> from cafx.kernel.schema import Message
        >>> @message("warmup_param", of="SolverParameter")
        ... class WarmupParameter(Message):
        ...     '''Options of warmup.'''
        ...     warmup: int = option(1, "int32", 100, doc="iterations until base_lr is reached")
        >>> class Warmup(Policy):
        ...     Parameter = WarmupParameter
        ...
        ...     def rate(self, iteration):
        ...         return self.options.base_lr * min(1, (iteration + 1) / self.own.warmup)
        >>> _ = registry().add("policy", "warmup", Warmup)
        >>> text = 'base_lr: 2 lr_policy: "warmup" warmup_param { warmup: 4 }'
        >>> Warmup(schema().parse_text(text, "SolverParameter")).rate(0)
        0.5
        >>> registry().remove("policy", "warmup")
    """

    Parameter: ClassVar[type[Message] | None] = None

    def __init__(self, options: Any) -> None:
        self.options = options
        self.own: Any = None
        if self.Parameter and self.Parameter.__extends__:
            field = self.Parameter.__extends__.field
            if not hasattr(options, field):
                raise schema().clashes.get(field) or CafxError(f"the solver's schema has no {field}")
            self.own = self.Parameter.from_proto(getattr(options, field))


class Policy(Configured):
    """A learning rate formula; a plugin of group ``cafx.policies``.

    Options that SolverParameter lacks are declared as ``Parameter``: see `Configured`.

    Class attributes:
        watches_loss: whether `observe` is called in each iteration, which waits for the loss.

    Args:
        options: the SolverParameter.

    Raises:
        CafxError: an option of the formula is missing or out of range.

    Example:
        >>> class Halving(Policy):
        ...     def rate(self, iteration):
        ...         return self.options.base_lr / 2**iteration
        >>> from cafx.kernel.schema import SolverParameter
        >>> Halving(SolverParameter(base_lr=1)).rate(3)
        0.125
    """

    watches_loss: ClassVar[bool] = False

    def observe(self, loss: float, iteration: int) -> None:
        """Note the smoothed loss of an iteration, before its rate is asked for."""

    def state(self) -> dict[str, Any]:
        """What an exact resume needs of what was observed, as JSON-serialisable values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the result of `state`, or, with an empty dict, as far as that is possible without it."""

    def rate(self, iteration: int) -> float:
        """The learning rate of iteration number ``iteration``, counted from 0."""
        raise NotImplementedError

    def step(self, iteration: int) -> int:
        """The number of steps of the rate completed at ``iteration``, saved as current_step."""
        return 0

    def require(self, *fields: str, **least: float) -> None:
        """Check that options of the policy are set.

        Args:
            fields: options that must be set.
            least: options that must be set, and their minima.

        Raises:
            CafxError: an option is missing or less than its minimum.
        """
        values = {field.name: value for field, value in self.options.ListFields()}
        name = f"learning rate policy '{self.options.lr_policy}'"
        for field in (*fields, *least):
            if field not in values:
                raise CafxError(f"{name} needs {field}", where="solver")
        for field, minimum in least.items():
            if values[field] < minimum:
                message = f"{name}: {field} is out of range"
                raise CafxError(message, where="solver", found=f"{values[field]:g}", expected=f"at least {minimum:g}")


class UpdateRule(Configured):
    """The update rule of a solver; a plugin of group ``cafx.solvers``.

    Rules are elementwise on flat arrays, so that the solver may apply them to chunks in parallel. Options that
    SolverParameter lacks are declared as ``Parameter``: see `Configured`.

    Class attributes:
        slots: number of history arrays, each with one value per parameter value.

    Args:
        options: the SolverParameter.

    Raises:
        CafxError: an option that the rule does not support.

    Example:
        >>> import numpy as np
        >>> from cafx.kernel.schema import SolverParameter
        >>> class Momentum(UpdateRule):
        ...     def update(self, diff, history, rate, iteration):
        ...         (velocity,) = history
        ...         velocity *= self.options.momentum
        ...         velocity += rate * diff
        ...         diff[...] = velocity
        >>> diff, velocity = np.array([1.0]), np.array([4.0])
        >>> Momentum(SolverParameter(momentum=0.5)).update(diff, [velocity], rate=0.5, iteration=0)
        >>> diff.tolist()
        [2.5]
    """

    slots: ClassVar[int] = 1

    def update(self, diff: Array, history: Sequence[Array], rate: float, iteration: int) -> None:
        """Replace the gradient in ``diff`` by the update, which is subtracted from the parameters.

        Args:
            diff: flat gradient, already averaged, clipped and regularised; the update on return.
            history: the rule's history of these values, one array per slot; modified in place.
            rate: learning rate times the parameter's lr_mult.
            iteration: number of the iteration, counted from 0.
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
        """The error for an option that this rule does not support.

        Args:
            field: the option's name.
            why: what is wrong with it.
        """
        return CafxError(
            f"solver '{self.options.type}': {why}", where="solver", found=f"{field}: {getattr(self.options, field):g}"
        )
