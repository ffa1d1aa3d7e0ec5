"""The checklist of fillers: initial values of parameters.

>>> from cafx.conformance import plugin_suite
>>> TestXavier = plugin_suite("filler", "xavier")
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import attrs
import numpy as np
import numpy.typing as npt

from cafx.conformance.kinds.common import common_checks, own_docstring
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import CafxError, Filler, FillerParameter

KIND = "filler"
SEED = 1701
ERRORS = 6
"""Tolerance of a sample moment, in standard errors."""
ROUNDING = 1e-6
"""Relative error of values in float32."""
SHAPES = ((), (7,), (4, 6), (2, 3, 5), (2, 3, 4, 4), (2, 1, 2, 3, 3), (0, 3), (2, 0), (0,))
SMALL_CHUNK = 7
CHUNKS = "cafx_lib_filler"
Array = npt.NDArray[Any]


@attrs.frozen
class FillerCase:
    """A filler with its options, and what its values must be.

    Args:
        name: a short name, unique among the filler's cases.
        options: fields of FillerParameter.
        shape: the parameter that is filled; a random filler needs 10,000 values or more.
        values: for a filler that draws nothing, the values of that shape, worked out independently.
        mean, variance: those of the distribution; a variance of None is not checked, nor are values then required
            to be independent of each other.
        low, high: its bounds.
        error: words of the error, if these options or this shape must be refused.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    shape: tuple[int, ...] = (40, 50, 5, 5)
    values: npt.ArrayLike | None = None
    mean: float | None = None
    variance: float | None = None
    low: float = -math.inf
    high: float = math.inf
    error: str | None = None
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, Filler)


def made(subject: Subject, options: Mapping[str, Any]) -> Filler:
    """A filler with options."""
    filler: Filler = subject.thing(FillerParameter(type=subject.type, **options))
    return filler


def filled(subject: Subject, case: FillerCase, seed: int = SEED) -> Array:
    """The values of a case."""
    return np.asarray(made(subject, case.options).fill(case.shape, np.random.default_rng(seed)))


def accepted(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases that are not about an error."""
    return "the case is about an error" if isinstance(case, FillerCase) and case.error is not None else None


def draws(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases of random values."""
    if isinstance(case, FillerCase) and case.values is not None:
        return "the case gives all values"
    return accepted(subject, case)


@check("values", "values equal those of the case, or have its mean and variance", kind=KIND, applies=accepted)
def values(subject: Subject, case: FillerCase) -> None:
    found = filled(subject, case).astype(np.float64)
    if case.values is not None:
        expected = np.broadcast_to(np.asarray(case.values, np.float64), case.shape)
        if not np.allclose(found, expected, rtol=ROUNDING, atol=ROUNDING):
            raise CheckFailure("the values are not those that the case gives")
        return
    if case.mean is None:
        raise CheckFailure("the case gives neither values nor a mean")
    if found.size < 10_000:
        raise CheckFailure(f"{found.size} values say little about a distribution: give the case 10,000 or more")
    error = math.sqrt(found.var() / found.size)
    require_near("mean", float(found.mean()), case.mean, error)
    if case.variance is not None:
        centred = found - found.mean()
        spread = math.sqrt(max(0.0, float((centred**4).mean()) - float(found.var()) ** 2) / found.size)
        require_near("variance", float(found.var()), case.variance, spread)
        require_independent(found)


def require_near(what: str, found: float, expected: float, error: float) -> None:
    """Require a sample moment within some standard errors, and within rounding."""
    if abs(found - expected) > ERRORS * error + ROUNDING * abs(expected):
        raise CheckFailure(f"the {what} is {found:g}, expected {expected:g}, give or take {ERRORS * error:.2g}")


def require_independent(found: Array) -> None:
    """Require that values are not correlated with their neighbours along any axis."""
    centred = (found - found.mean()) / (found.std() or 1.0)
    for axis, length in enumerate(found.shape):
        if length > 1:
            first, last = (np.take(centred, np.arange(length - 1) + one, axis) for one in (0, 1))
            correlation = float((first * last).mean())
            if abs(correlation) > ERRORS / math.sqrt(first.size):
                raise CheckFailure(f"values are correlated along axis {axis}: {correlation:.3g}")


@check("support", "values lie within the bounds of the case", kind=KIND, applies=accepted)
def support(subject: Subject, case: FillerCase) -> None:
    found = filled(subject, case).astype(np.float64)
    low, high = float(found.min(initial=math.inf)), float(found.max(initial=-math.inf))
    slack = ROUNDING * max((abs(each) for each in (case.low, case.high) if math.isfinite(each)), default=0.0)
    if low < case.low - slack or high > case.high + slack:
        raise CheckFailure(f"values from {low:g} to {high:g}, expected {case.low:g} to {case.high:g}")


@check("seeds", "equal seeds give equal values, other seeds others", kind=KIND, applies=draws)
def seeds(subject: Subject, case: FillerCase) -> None:
    one, two, other = filled(subject, case), filled(subject, case), filled(subject, case, SEED + 1)
    if one.tobytes() != two.tobytes():
        raise CheckFailure("equal seeds give other values: draw from the given rng only")
    if one.tobytes() == other.tobytes():
        raise CheckFailure("every seed gives the same values: draw from the given rng")
    filler, rng = made(subject, case.options), np.random.default_rng(SEED)
    first, second = (np.asarray(filler.fill(case.shape, rng)).tobytes() for _ in range(2))
    if first == second:
        raise CheckFailure("a second parameter gets the values of the first")


@check("stateless", "filling changes neither the filler nor the global random generators", kind=KIND, applies=accepted)
def stateless(subject: Subject, case: FillerCase) -> None:
    filler = made(subject, case.options)
    before, generators = dict(vars(filler)), global_generators()
    fresh, again = (np.asarray(filler.fill(case.shape, np.random.default_rng(SEED))) for _ in range(2))
    if global_generators() != generators:
        raise CheckFailure("a global random generator was used: draw from the given rng")
    if fresh.tobytes() != again.tobytes() or vars(filler) != before:
        raise CheckFailure("a filler fills many parameters: fill() must not keep anything")


def global_generators() -> tuple[Any, bytes]:
    """The states of Python's and NumPy's global generators."""
    kind, keys, *position = np.random.get_state()
    return (random.getstate(), kind, *position), np.asarray(keys).tobytes()


@check(
    "shapes",
    "parameters of no to five axes, empty ones too, are filled, or refused with a clear error",
    kind=KIND,
    applies=accepted,
)
def shapes(subject: Subject, case: FillerCase) -> None:
    for shape in (case.shape, *SHAPES):
        try:
            found = np.asarray(made(subject, case.options).fill(shape, np.random.default_rng(SEED)))
        except CafxError as error:
            if shape == case.shape or subject.type not in str(error):
                raise CheckFailure(f"shape {shape}: the error must name the filler: {error}") from None
            continue
        except Exception as error:
            raise CheckFailure(f"shape {shape}: {type(error).__name__}: {error}; raise a CafxError") from error
        if found.shape != shape:
            raise CheckFailure(f"shape {shape}: the values have shape {found.shape}")


@check("finite", "values are floating-point numbers, and finite", kind=KIND, applies=accepted)
def finite(subject: Subject, case: FillerCase) -> None:
    found = filled(subject, case)
    if not np.issubdtype(found.dtype, np.floating):
        raise CheckFailure(f"the values have type {found.dtype}")
    with np.errstate(over="ignore"):
        if not np.isfinite(found.astype(np.float32)).all():
            raise CheckFailure("not every value is finite in float32")


@check("chunks", "values do not depend on the number that is drawn at once", kind=KIND, applies=draws)
def chunks(subject: Subject, case: FillerCase) -> None:
    whole = filled(subject, case)
    with small_chunks():
        if filled(subject, case).tobytes() != whole.tobytes():
            raise CheckFailure(f"in chunks of {SMALL_CHUNK} values, others are drawn")


@contextmanager
def small_chunks() -> Iterator[None]:
    """Have cafx-lib-filler draw a few values at a time."""
    library = sys.modules.get(CHUNKS)
    if library is None:
        yield
        return
    with mock.patch.object(library, "CHUNK_VALUES", SMALL_CHUNK):
        yield


@check("options-documented", "the docstring names every option that a case sets", kind=KIND, per_case=False)
def options_documented(subject: Subject) -> None:
    text = own_docstring(subject.thing, Filler)
    named = {name for case in subject.cases if case.error is None for name in case.options}
    missing = sorted(name for name in named if name not in text)
    if missing:
        raise CheckFailure(f"the docstring does not mention {', '.join(missing)}")


@check("refused", "invalid options and shapes raise a CafxError that says so", kind=KIND, per_case=False)
def refused(subject: Subject) -> None:
    wrong: Sequence[tuple[str, str, Callable[[], Any]]] = [
        (case.name, case.error, partial(filled, subject, case)) for case in subject.cases if case.error is not None
    ]
    if not subject.thing.takes_sparse:
        wrong = [*wrong, ("takes_sparse = False", "sparse", partial(made, subject, {"sparse": 1}))]
    for name, words, run in wrong:
        try:
            run()
        except CafxError as error:
            if words not in str(error):
                raise CheckFailure(f"{name}: the error does not mention {words!r}: {error}") from None
        else:
            raise CheckFailure(f"{name}: this is accepted")
