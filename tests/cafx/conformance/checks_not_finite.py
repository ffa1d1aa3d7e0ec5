"""The check of NaN, infinities and other extreme values: no engine loses them, and none spreads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.conformance.cases import Case
from cafx.conformance.harness import Trial
from cafx.conformance.suite import CheckFailure, Subject, check
from cafx.kernel import HOST, CafxError
from cafx.kernel.net import PhiloxDraws

HUGE = 1e38
VALUES = {"NaN": np.nan, "inf": np.inf, "-inf": -np.inf, "1e-40": 1e-40, "1e38": HUGE}
"""What one value is replaced by: a float32 that is not finite, denormal, or huge."""
TOLERANCE = 2e-3
"""Relative to the value, and to the largest value of the same result before one was replaced."""
ROUNDING = 1e-6
"""Relative to a huge value, where it has an effect."""
MAY_OVERFLOW = 1e30
"""Sums of larger values may overflow in one order of addition and not in another."""
SPOTS = 2
"""Positions that are tried in each array."""
Array = npt.NDArray[Any]
Results = dict[str, Array]


@attrs.frozen
class Spot:
    """One value of one array, to be replaced.

    Attributes:
        kind: ``bottom``, ``parameter`` or ``gradient of top``.
        index: which of them.
        position: where in it.
    """

    kind: str
    index: int
    position: int

    def __str__(self) -> str:
        return f"{self.kind} {self.index} [{self.position}]"

    def put(self, value: float, kind: str, arrays: list[Array]) -> list[Array]:
        """The arrays of a kind, with the value in its place if it is of that kind."""
        arrays = [np.array(each, np.float32) for each in arrays]
        if kind == self.kind:
            arrays[self.index].reshape(-1)[self.position] = value
        return arrays


def spots(trial: Trial) -> Iterator[Spot]:
    """Positions in each bottom that may hold any number, in each parameter and in each top's gradient."""
    rng = np.random.default_rng(1)
    sizes = {"bottom": [0 if i in trial.layer.integer_bottoms else each.size for i, each in enumerate(trial.fed)]}
    sizes["parameter"] = [each.size for each in trial.params]
    if not trial.layer.forward_only:
        ignored = trial.layer.constant_tops
        sizes["gradient of top"] = [0 if i in ignored else each.size for i, each in enumerate(trial.seeds())]
    for kind, counts in sizes.items():
        for index, count in enumerate(counts):
            for position in sorted({int(rng.integers(count)) for _ in range(SPOTS)}) if count else ():
                yield Spot(kind, index, position)


def results(trial: Trial, spot: Spot, value: float) -> Results:
    """Tops and gradients of one pass from the initial state, with a value in a spot."""
    fed, params = trial.fed, trial.params
    trial.fed, trial.params = spot.put(value, "bottom", fed), spot.put(value, "parameter", params)
    try:
        trial.rewind()
        found = {f"top {i}": each for i, each in enumerate(trial.forward())}
        if not trial.layer.forward_only:
            diffs = trial.backward(spot.put(value, "gradient of top", trial.seeds()))
            found |= {f"gradient of bottom {i}": diffs[i] for i in trial.differentiable}
            found |= {f"gradient of parameter {i}": each for i, each in enumerate(trial.param_diffs)}
    finally:
        trial.fed, trial.params = fed, params
    return found


def usual_value(trial: Trial, spot: Spot) -> float:
    """What is in a spot."""
    arrays = {"bottom": trial.fed, "parameter": trial.params, "gradient of top": trial.seeds()}
    return float(np.asarray(arrays[spot.kind][spot.index], np.float32).reshape(-1)[spot.position])


@attrs.frozen
class Expected:
    """What numpy computes.

    Attributes:
        values: the result.
        usual: the result before a value was replaced.
        affected: where NaN in its place has an effect.
        huge: whether the value in its place is finite but may overflow.
        may_skip_padding: whether engines may leave out products with padding, in which 0 · NaN is NaN.
    """

    values: Array
    usual: Array
    affected: Array
    huge: bool
    may_skip_padding: bool

    def differs(self, result: Array) -> str | None:
        """Where a result differs in what is NaN, what is infinite, or in finite values; None if it does not."""
        one, two, before = (each.astype(np.float64).reshape(-1) for each in (result, self.values, self.usual))
        largest = np.abs(before[np.isfinite(before)]).max(initial=0)
        allowed = TOLERANCE * (np.abs(two) + largest) + self.huge * self.affected * ROUNDING * HUGE
        near = (one == two) | (np.isnan(one) & np.isnan(two))
        near |= np.isfinite(one) & np.isfinite(two) & (np.abs(one - two) <= allowed)
        if self.huge:
            near |= self.affected & ~((np.abs(one) < MAY_OVERFLOW) & (np.abs(two) < MAY_OVERFLOW))
        if self.may_skip_padding and (np.isfinite(two).all() or not np.isfinite(one).all()):
            near |= ~np.isfinite(two) & np.isclose(one, before, TOLERANCE, TOLERANCE * largest)
        if near.all():
            return None
        position = int(np.argmin(near))
        return f"[{position}] is {one[position]:.6g}, not {two[position]:.6g}"


@check("not-finite", "every engine treats NaN, infinities, denormals and huge values as numpy does")
def not_finite(subject: Subject, case: Case) -> None:
    for plugin, engine in subject.plugins.usable("engine"):
        if plugin.name == "numpy" or engine.unavailable() is not None:
            continue
        trial = Trial(subject.type, case, engine=engine(subject.plugins), plugins=subject.plugins)
        plain = trial.net.program.parts[-1].run_by == "plain"
        if plain and trial.net.engine.place is HOST:
            continue
        if plain or subject.layer.deterministic:
            require_same(trial, reference(subject, case, trial), f"engine '{plugin.name}'")


def reference(subject: Subject, case: Case, trial: Trial) -> Trial:
    """The case on numpy, with the random numbers of an engine's place."""
    numpy = Trial(subject.type, case, plugins=subject.plugins)
    if trial.net.engine.place is not HOST:
        context = numpy.net.context
        context.draws = PhiloxDraws(context.streams, context.xp)
    return numpy


def require_same(trial: Trial, numpy: Trial, who: str) -> None:
    """Raise CheckFailure where an engine differs from numpy with an extreme value."""
    with np.errstate(all="ignore"):
        for spot in spots(numpy):
            before = usual_value(numpy, spot)
            usual, spread = results(numpy, spot, before), outcome(numpy, spot, np.nan)
            for name, value in VALUES.items():
                one, two = outcome(trial, spot, value), outcome(numpy, spot, value)
                what = f"{who} disagrees with numpy with {name} in {spot}"
                if isinstance(one, str) or isinstance(two, str):
                    if not (isinstance(one, str) and isinstance(two, str)):
                        raise CheckFailure(f"{what}: on one of them, {one if isinstance(one, str) else two}")
                    continue
                compare(one, two, usual, spread, huge=name == "1e38", numpy=numpy, what=what)


def outcome(trial: Trial, spot: Spot, value: float) -> Results | str:
    """The results with a value in a spot, or the error it causes."""
    try:
        return results(trial, spot, value)
    except CafxError as error:
        return str(error)


def compare(
    one: Results, two: Results, usual: Results, spread: Results | str, *, huge: bool, numpy: Trial, what: str
) -> None:
    """Raise CheckFailure where two passes differ; see `Expected`."""
    skips = getattr(numpy.layer, "may_skip_padding", False)
    for name, values in two.items():
        if one[name].shape != values.shape:
            raise CheckFailure(f"{what}: {name} has shape {one[name].shape}, not {values.shape}")
        before = usual[name] if usual[name].shape == values.shape else values
        nan = values if isinstance(spread, str) or spread[name].shape != values.shape else spread[name]
        expected = Expected(values, before, (nan != before).reshape(-1), huge, skips)
        problem = expected.differs(one[name])
        if problem:
            raise CheckFailure(f"{what}: {name} {problem}")
