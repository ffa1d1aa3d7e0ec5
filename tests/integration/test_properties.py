"""Every layer works with random options and shapes, gradients included, or says what is wrong with them.

Each example starts from one of the layer's own cases and changes options and bottoms, also to values
outside their declared kinds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

from cafx.conformance import Case
from cafx.conformance.cases import Bottom
from cafx.conformance.checks_maths import KINK_MARGIN, objective
from cafx.conformance.harness import SUBJECT, Trial
from cafx.conformance.numeric import allowance, derivative
from cafx.kernel import CafxError, registry, schema
from cafx.kernel.schema import INTEGER_RANGES, Option, Phase

TYPES = registry().names("layer")
SHARED = schema().fields_of("LayerParameter")  # such as loss_param and transform_param
QUICK, THOROUGH = 20, 300
EXPLORE = "CAFX_EXPLORE"  # number of examples per layer, new ones in each run
MOST_VALUES = 20_000  # per blob, so that an example takes milliseconds
POSITIONS = 4  # checked per gradient
WORDS = ("", "nothing/there", "constant", "gaussian", "bilinear", "xavier", "positive_unitball")
WILD = {"float": (0.0, -1.0, 1e30, -1e30, float("inf"), float("nan")), "bool": (2,), "string": (3,)}
OVERFLOWS = {
    "Exp": "large powers overflow",
    "Log": "the logarithm of 0 is infinite, that of negative numbers undefined",
    "Power": "fractional powers of negative numbers are undefined, negative powers of 0 infinite",
    "LRN": "negative k or alpha can lead to a root of a negative number",
    "Eltwise": "without stable_prod_grad it divides by its bottoms",
    "BN": "without eps it divides by a standard deviation that may be 0",
    "BatchNorm": "without eps it divides by a standard deviation that may be 0",
    "MVN": "without eps it divides by a standard deviation that may be 0",
    "LayerNorm": "without epsilon it divides by a standard deviation that may be 0",
    "Normalize": "without eps it divides by a norm that may be 0",
}
"""Layers that may produce non-finite values according to their docstrings, and why."""


@pytest.fixture(autouse=True, scope="module")
def constants() -> Iterator[None]:
    """Draw none of the numbers in the modules that happen to be imported: examples would depend on earlier tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(providers, "_get_local_constants", providers.Constants)
        yield


@pytest.fixture(autouse=True, scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Refuse large blobs, and work in a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("examples"))
        patch.setattr("cafx.kernel.blob.blob.MAX_COUNT", MOST_VALUES)
        yield


def inexact(layer: Any) -> bool:
    """Whether the layer's gradient is documented as something else than the derivative."""
    options = layer.options
    match layer.type:
        case "BN":  # uses the batch's formula with running statistics, too; if frozen, parameters have none
            return options.frozen or layer.phase == Phase.TEST
        case "ContrastiveLoss":  # adds a small number to the distance it divides by
            return True
        case "RegionLoss" | "Yolov3":  # the loss that they report is not the one that they minimise
            return True
        case "Interp":  # has the gradient of all planes where it computes the first one only
            return layer.first_only
        case "Lstm":  # limits its gradients
            return bool(options.clipping_threshold > 0)
        case "MergeCrop":  # does not tell every bottom that it reads
            return list(map(bool, layer.reads)) != list(map(bool, layer.teaches))
        case "MultiBoxLoss":  # SSD does not divide it by the variance
            return bool(options.encode_variance_in_target)
        case "MVN":  # exact for eps = 0
            return abs(options.eps) > 1e-6
        case "Normalize":  # leaves scales out of a sum, which is exact if they are equal
            return not options.channel_shared
    return False


def values_of(declared: Option, known: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Values of one option: those of the layer's cases, plausible ones and invalid ones."""
    one = single(declared)
    drawn = st.lists(one, max_size=3) if declared.repeated else one
    return st.one_of(st.sampled_from(known), drawn) if known else drawn


def single(declared: Option) -> st.SearchStrategy[Any]:
    """One value of an option's kind, or slightly out of its range."""
    if declared.is_enum:
        return st.sampled_from([*declared.kind.__members__, "NO_SUCH_NAME"])
    if declared.is_message:
        return st.dictionaries(st.sampled_from(sorted(declared.kind.__options__)), st.none(), max_size=3).flatmap(
            lambda names: st.fixed_dictionaries(
                {name: values_of(declared.kind.__options__[name], ()) for name in names}
            )
        )
    if declared.kind in INTEGER_RANGES:
        low, high = INTEGER_RANGES[declared.kind]
        return st.one_of(st.integers(1, 4), st.integers(-3, 9), st.sampled_from((low - 1, low, high, high + 1)))
    ordinary = {"float": st.floats(-3, 3, width=32), "bool": st.booleans(), "string": st.sampled_from(WORDS)}[
        declared.kind
    ]
    return st.one_of(*[ordinary] * 9, st.sampled_from(WILD[declared.kind]))


@st.composite
def options_like(
    draw: st.DrawFn, declared: Mapping[str, Option], start: Mapping[str, Any], others: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The options of a case, some omitted and some with other values, partly from other cases."""
    options = {name: value for name, value in start.items() if draw(st.integers(0, 9))}
    for name in draw(st.sets(st.sampled_from(sorted(declared)), max_size=3)) if declared else ():
        options[name] = draw(values_of(declared[name], tuple(each[name] for each in others if name in each)))
    return options


@st.composite
def random_cases(draw: st.DrawFn, type_name: str) -> Case:
    """One of the layer's own cases with other options and bottoms."""
    layer = registry().load("layer", type_name)
    cases = list(layer.cases())
    start = draw(st.sampled_from(cases))
    declared = layer.Parameter.__options__ if layer.Parameter else {}
    options = draw(options_like(declared, start.options, [case.options for case in cases]))
    fields = dict(start.layer)
    for name in set(fields) & set(SHARED):
        others = [case.layer[name] for case in cases if name in case.layer]
        fields[name] = draw(options_like(SHARED[name].__options__, fields[name], others))
    dropped = draw(st.sampled_from([0] * 19 + [1]))  # from the end: a layer may need indices or flags in its place
    bottoms = start.bottoms[: len(start.bottoms) - dropped]
    batch = draw(st.one_of(st.none(), st.integers(0, 4)))
    changed = [Bottom(draw(shapes_like(bottom.shape, batch)), bottom.draw) for bottom in bottoms]
    assume(all(math.prod(bottom.shape) <= MOST_VALUES for bottom in changed))
    tops = draw(st.one_of(st.just(start.tops), st.just(start.tops), st.integers(0, 4)))
    phase = draw(st.sampled_from(Phase))
    return Case("random", *changed, options=options, layer=fields, tops=tops, phase=phase)


@st.composite
def shapes_like(draw: st.DrawFn, shape: tuple[int, ...], batch: int | None) -> tuple[int, ...]:
    """A shape with some axes changed, added or removed; the first has length ``batch`` unless that is None."""
    lengths = list(shape)
    if batch is not None and lengths:
        lengths[0] = batch
    change = draw(st.integers(0, 9))
    if change == 0:
        lengths = draw(st.lists(st.integers(0, 4), max_size=6))
    elif change == 1:
        lengths.append(draw(st.integers(1, 3)))
    elif change == 2:
        lengths = lengths[:-1]
    elif change in (3, 4) and lengths:
        lengths[draw(st.integers(0, len(lengths) - 1))] = draw(st.integers(1, 7))
    return tuple(lengths)


def attempt(type_name: str, case: Case) -> None:
    """Build the layer, run it and check its gradients; a CafxError is accepted, any other error is not."""
    trial = None
    try:
        trial = Trial(type_name, case, dtype=np.float64)
        tops = trial.forward()
        if trial.layer.forward_only:
            return
        diffs = trial.backward()
        finite = all(np.isfinite(top).all() for top in tops)
        if not finite or has_huge_number([case.options, case.layer]) or inexact(trial.layer):
            return
        for index in trial.differentiable:
            trial.fed[index] = np.array(trial.fed[index], np.float64)
            kinks = trial.layer.kinks if index == 0 else ()
            check_gradient(trial, trial.fed[index], diffs[index], kinks, f"bottom {index}")
        param_diffs = trial.param_diffs if type(trial.layer).learnable else []
        for index, diff in enumerate(param_diffs):
            check_gradient(trial, trial.params[index], diff, (), f"parameter {index}")
    except CafxError as error:
        declared = error.where is None  # raised by the declaration of the options, before there is a layer
        assert declared or f"'{SUBJECT}'" in str(error), error  # noqa: PT017 - CafxError is an accepted outcome
    except RuntimeWarning:
        if type_name not in OVERFLOWS and not has_huge_number([case.options, case.layer]):
            raise
    finally:
        if trial is not None:
            trial.net.close()


def has_huge_number(value: Any) -> bool:
    """Whether options contain a number whose square or sum overflows."""
    if isinstance(value, Mapping):
        return any(map(has_huge_number, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(has_huge_number, value))
    return isinstance(value, float) and not abs(value) < 1e20


def check_gradient(
    trial: Trial, array: np.ndarray[Any, Any], diff: np.ndarray[Any, Any], kinks: tuple[float, ...], what: str
) -> None:
    """Compare a gradient with the numeric one at a few positions where that exists."""
    values, weights = array.reshape(-1), trial.seeds()
    for position in np.random.default_rng(values.size).permutation(values.size)[:POSITIONS]:
        if any(abs(values[position] - kink) < KINK_MARGIN for kink in kinks):
            continue
        analytic = float(diff.reshape(-1)[position])
        estimate = derivative(lambda: objective(trial, weights), values, position)
        assert estimate is None or abs(analytic - estimate) <= allowance(analytic, estimate), (
            f"{what} [{position}]: backward gives {analytic:g}, the numeric gradient is {estimate:g}"
        )


def run(type_name: str, examples: int, derandomize: bool) -> None:
    """Check a layer on a number of random cases."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=derandomize,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=random_cases(type_name))
    def test(case: Case) -> None:
        attempt(type_name, case)

    test()


@pytest.mark.slow
@pytest.mark.parametrize("type_name", TYPES)
def test_options_and_shapes_work_or_are_refused(type_name: str) -> None:
    run(type_name, QUICK, derandomize=True)


@pytest.mark.slow
@pytest.mark.parametrize("type_name", TYPES)
def test_many_options_and_shapes_work_or_are_refused(type_name: str) -> None:
    """Examples are the same in every run; set CAFX_EXPLORE to draw new ones."""
    examples = os.environ.get(EXPLORE)
    run(type_name, int(examples or THOROUGH), derandomize=examples is None)
