"""Checks of a layer's mathematics: gradients, precision, and blobs that must not be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.conformance.cases import Bottom, Case
from cafx.conformance.golden import differs
from cafx.conformance.harness import Trial, write
from cafx.conformance.suite import CheckFailure, Subject, all_of, check, has_bottoms, needs
from cafx.kernel import CafxError

STEP = 1e-4
SAMPLES = 60
KINK_MARGIN = 10 * STEP
SENTINEL = 12.5
SINGLE_TOLERANCE = 2e-3
Array = npt.NDArray[Any]

differentiable = needs(forward_only=False)


def has_gradient(subject: Subject, case: Case | None) -> str | None:
    """Applies to layers with a differentiable bottom."""
    if subject.layer.forward_only:
        return "the layer is forward_only"
    assert case is not None
    integer = set(subject.layer.integer_bottoms)
    return None if set(range(len(case.bottoms))) - integer else "no bottom has a gradient"


def objective(trial: Trial, weights: list[Array]) -> float:
    """Σ weight · top, from the trial's initial state."""
    trial.rewind()
    tops = trial.forward()
    return float(sum((w * top).sum() for w, top in zip(weights, tops, strict=True)))


def numeric(trial: Trial, weights: list[Array], change: Callable[[float], None]) -> float:
    """The central difference of the objective; ``change`` adds a number to the value under test."""
    change(STEP)
    above = objective(trial, weights)
    change(-STEP)
    below = objective(trial, weights)
    change(0.0)
    return (above - below) / (2 * STEP)


def compare(case: Case, analytic: float, estimate: float, what: str) -> None:
    """Raise CheckFailure if an analytic and a numeric gradient differ."""
    scale = max(abs(analytic), abs(estimate), 1.0)
    if not abs(analytic - estimate) <= case.tolerance * scale:
        raise CheckFailure(f"{what}: backward gives {analytic:.6g}, the numeric gradient is {estimate:.6g}")


def sampled(count: int, rng: np.random.Generator) -> Array:
    """Up to SAMPLES random indices below ``count``."""
    return rng.permutation(count)[:SAMPLES]


@check("gradient-bottoms", "input gradients match numeric gradients", applies=all_of(has_bottoms, has_gradient))
def gradient_bottoms(subject: Subject, case: Case) -> None:
    trial = Trial(subject.type, case, dtype=np.float64, plugins=subject.plugins)
    tops = trial.forward()
    weights = trial.seeds()
    diffs = trial.backward(weights)
    bottoms = trial.differentiable
    if not bottoms:
        raise CheckFailure("no bottom receives a gradient: declare integer_bottoms or forward_only")
    checked = 0
    for index in bottoms:
        flat = trial.fed[index] = np.array(trial.fed[index], np.float64)
        values = flat.reshape(-1)
        for position in sampled(values.size, trial.rng):
            if index == 0 and any(abs(values[position] - kink) < KINK_MARGIN for kink in trial.layer.kinks):
                continue
            start = values[position]

            def change(by: float, values: Array = values, at: int = position, start: float = start) -> None:
                values[at] = start + by

            estimate = numeric(trial, weights, change)
            compare(case, float(diffs[index].reshape(-1)[position]), estimate, f"bottom {index} [{position}]")
            checked += 1
    if not checked and any(top.size for top in tops):
        raise CheckFailure("nothing was checked: all values are close to a kink")


@check("gradient-params", "parameter gradients match numeric gradients", applies=differentiable)
def gradient_params(subject: Subject, case: Case) -> None:
    trial = Trial(subject.type, case, dtype=np.float64, plugins=subject.plugins)
    if not subject.layer.learnable:
        return
    trial.forward()
    weights = trial.seeds()
    trial.backward(weights)
    diffs = trial.param_diffs
    for index, params in enumerate(trial.params):
        values = params.reshape(-1)
        for position in sampled(values.size, trial.rng):
            start = values[position]

            def change(by: float, values: Array = values, at: int = position, start: float = start) -> None:
                values[at] = start + by

            estimate = numeric(trial, weights, change)
            compare(case, float(diffs[index].reshape(-1)[position]), estimate, f"parameter {index} [{position}]")


@check("accumulates", "parameter gradients accumulate over backward passes", applies=differentiable)
def accumulates(subject: Subject, case: Case) -> None:
    trial = Trial(subject.type, case, plugins=subject.plugins)
    if not trial.layer.blobs or not subject.layer.learnable:
        return
    trial.forward()
    trial.backward()
    once = trial.param_diffs
    for top, diff in zip(trial.top, trial.seeds(), strict=True):
        write(top.synced_diff, diff)
    trial.net.run_backward()
    for index, (first, both) in enumerate(zip(once, trial.param_diffs, strict=True)):
        if differs(both, 2 * first):
            raise CheckFailure(f"parameter {index}: gradients of two backward passes do not add up; use += on its diff")


@check("propagate-down", "unneeded bottom gradients are not written", applies=all_of(has_bottoms, differentiable))
def propagate_down(subject: Subject, case: Case) -> None:
    trial = Trial(subject.type, case, plugins=subject.plugins)
    trial.forward()
    trial.backward()
    full = [blob.host_diff() for blob in trial.bottom]
    for index in trial.differentiable:
        for blob in trial.bottom:
            write(blob.synced_diff, np.full(blob.shape, SENTINEL, blob.dtype))
        for top, diff in zip(trial.top, trial.seeds(), strict=True):
            write(top.synced_diff, diff)
        if any(top.synced_diff is trial.bottom[index].synced_diff for top in trial.top):
            continue
        trial.rewind()
        trial.forward()
        down = [
            each and position != index for position, each in enumerate(trial.net.program.plan.layers[-1].propagate_down)
        ]
        trial.layer.backward(trial.top, down, trial.bottom)
        if not (trial.bottom[index].host_diff() == SENTINEL).all():
            raise CheckFailure(f"backward writes the diff of bottom {index} although propagate_down is false")
        for other in [i for i, needed in enumerate(down) if needed]:
            if not case.bottoms or differs(trial.bottom[other].host_diff(), full[other]):
                raise CheckFailure(f"the gradient of bottom {other} changes if that of bottom {index} is not needed")


@check("bottoms-untouched", "forward does not change bottoms, backward changes no data", applies=has_bottoms)
def bottoms_untouched(subject: Subject, case: Case) -> None:
    trial = Trial(subject.type, case, plugins=subject.plugins)
    tops = trial.forward()
    fed = [np.asarray(values, blob.dtype) for values, blob in zip(trial.fed, trial.bottom, strict=True)]
    for moment in ("forward", "backward"):
        for index, (blob, values) in enumerate(zip(trial.bottom, fed, strict=True)):
            if not np.array_equal(blob.host(), values.reshape(blob.shape), equal_nan=True):
                raise CheckFailure(f"{moment} changes the data of bottom {index}")
        if moment == "backward":
            break
        if not subject.layer.forward_only:
            trial.backward()
    for index, (blob, values) in enumerate(zip(trial.top, tops, strict=True)):
        if not np.array_equal(blob.host(), values, equal_nan=True):
            raise CheckFailure(f"backward changes the data of top {index}")


@check("tops-read", "a gradient computed from the tops is declared as such", applies=differentiable)
def tops_read(subject: Subject, case: Case) -> None:
    trial = Trial(subject.type, case, plugins=subject.plugins)
    trial.forward()
    before = [*trial.backward(), *trial.param_diffs]
    if trial.layer.reads_tops:
        return
    trial.rewind()
    trial.forward()
    for top in trial.top:
        write(top.synced_data, top.host() * 2 + 1)
    for index, (one, two) in enumerate(zip([*trial.backward(), *trial.param_diffs], before, strict=True)):
        if not np.array_equal(one, two, equal_nan=True):
            raise CheckFailure(f"gradient {index} depends on the values of the tops: set reads_tops = True")


def can_be_in_place(subject: Subject, case: Case | None) -> str | None:
    """Applies to layers declared ``in_place``, on cases with bottoms and one top."""
    assert case is not None
    return None if subject.layer.in_place and case.tops == 1 and case.bottoms else "the layer does not work in place"


@check("in-place", "in-place results match", applies=can_be_in_place)
def in_place(subject: Subject, case: Case) -> None:
    separate = Trial(subject.type, case, plugins=subject.plugins)
    try:
        shared = Trial(subject.type, case, plugins=subject.plugins, in_place=True)
    except CafxError:
        return
    for trial in (separate, shared):
        trial.first = trial.forward()  # type: ignore[attr-defined]
    if differs(shared.first[0], separate.first[0]):  # type: ignore[attr-defined]
        raise CheckFailure("the top differs in place: do not read the bottom after writing the top")
    if subject.layer.forward_only:
        return
    expected, results = separate.backward(), shared.backward()
    for index in separate.differentiable:
        if differs(results[index], expected[index]):
            raise CheckFailure(f"the gradient of bottom {index} differs in place: keep what backward needs")
    for index, (one, two) in enumerate(zip(shared.param_diffs, separate.param_diffs, strict=True)):
        if differs(one, two):
            raise CheckFailure(f"the gradient of parameter {index} differs in place")


@check("precision", "float32 and float64 agree")
def precision(subject: Subject, case: Case) -> None:
    results = []
    for dtype in (np.float32, np.float64):
        trial = Trial(subject.type, case, dtype=dtype, plugins=subject.plugins)
        trial.fed = [np.asarray(values, np.float32) for values in trial.fed]
        tops = trial.forward()
        wrong = [top.dtype for top in tops if top.dtype != dtype]
        if wrong:
            raise CheckFailure(f"a top is {wrong[0]} in a {np.dtype(dtype)} net")
        diffs = [] if subject.layer.forward_only else trial.backward()
        results.append(
            tops + [diffs[i] for i in (trial.differentiable if diffs else [])] + (trial.param_diffs if diffs else [])
        )
    for position, (single, double) in enumerate(zip(*results, strict=True)):
        problem = differs(single, double, SINGLE_TOLERANCE, SINGLE_TOLERANCE)
        if problem:
            raise CheckFailure(f"float32 and float64 disagree (array {position} of tops and gradients: {problem})")


@check("empty-batch", "empty batches work or are refused with a CafxError", applies=has_bottoms)
def empty_batch(subject: Subject, case: Case) -> None:
    emptied = [Bottom((0, *bottom.shape[1:]), bottom.draw) if bottom.shape else bottom for bottom in case.bottoms]
    empty = Case(case.name, *emptied, options=case.options, layer=case.layer, tops=case.tops, phase=case.phase)
    try:
        trial = Trial(subject.type, empty, plugins=subject.plugins)
        tops = trial.forward()
        if not subject.layer.forward_only:
            trial.backward()
    except CafxError:
        return
    if any(not np.isfinite(top).all() for top in tops):
        raise CheckFailure("an empty batch gives a non-finite top")
