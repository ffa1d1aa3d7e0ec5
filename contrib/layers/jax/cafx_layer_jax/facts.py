"""What a function says about the layer that is made of it, besides its signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

from cafx.kernel.schema import FillerParameter

ATTRIBUTE = "cafx_facts"
Shapes = Sequence[Sequence[int]]
F = TypeVar("F", bound=Callable[..., Any])


def filler(given: Any) -> FillerParameter:
    """A filler from its message, its options, or its type alone.

    Example:
        >>> filler("xavier").type, filler({"type": "gaussian", "std": 0.5}).std
        ('xavier', 0.5)
    """
    if isinstance(given, FillerParameter):
        return given
    return FillerParameter(type=given) if isinstance(given, str) else FillerParameter(**given)


@attrs.frozen
class Facts:
    """Facts about a function.

    Attributes:
        parameters: the shapes of the parameters, from the shapes of the bottoms and those options that it names.
        fillers: how the parameters are initialised; those without a filler are 0.
        integer_bottoms: positions of bottoms that hold labels or indices, which have no gradient.
    """

    parameters: Callable[..., Shapes] | None = None
    fillers: tuple[FillerParameter, ...] = attrs.field(default=(), converter=lambda given: tuple(map(filler, given)))
    integer_bottoms: tuple[int, ...] = attrs.field(default=(), converter=tuple)


def facts(
    *, parameters: Callable[..., Shapes] | None = None, fillers: Sequence[Any] = (), integer_bottoms: Sequence[int] = ()
) -> Callable[[F], F]:
    """Decorator that states facts about a function; see `Facts`. A function without any needs none.

    Args:
        parameters: from the shapes of the bottoms, and those options that it names, to the shapes of the parameters,
            which the function gets as its keyword ``params``.
        fillers: how they are initialised, unless the layer's option ``filler`` says otherwise: ``"xavier"`` or
            ``dict(type="gaussian", std=0.01)`` per parameter.
        integer_bottoms: positions of bottoms that hold labels or indices.

    Raises:
        CafxError: an invalid filler.

    Example:
        >>> @facts(parameters=lambda x: [(x[1],)], fillers=["xavier"])
        ... def scaled(x, *, params):
        ...     return x * params[0]
        >>> facts_of(scaled).parameters((2, 3))
        [(3,)]
    """
    stated = Facts(parameters, fillers, integer_bottoms)

    def decorate(function: F) -> F:
        setattr(function, ATTRIBUTE, stated)
        return function

    return decorate


def facts_of(function: Any) -> Facts:
    """The facts stated about a function."""
    found = getattr(function, ATTRIBUTE, None)
    return found if isinstance(found, Facts) else Facts()
