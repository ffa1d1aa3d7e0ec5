"""The checklist of routines: an engine's accelerated implementations of layers.

A routine needs no cases of its own: it runs those of its layer. A routine that is only worth its while between other
layers yields, from a class method ``cases``, an `EngineCase` with such a net.

>>> from cafx.conformance import plugin_suite
>>> TestReLU = plugin_suite("engine.onednn", "ReLU")
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from cafx.conformance import checks_not_finite
from cafx.conformance.cases import Case
from cafx.conformance.checks_engines import attributes_read, listed_attributes
from cafx.conformance.checks_running import ENGINE_TOLERANCE, on_numpy, pass_through, require_same
from cafx.conformance.harness import Trial
from cafx.conformance.kinds.common import own_docstring
from cafx.conformance.kinds.engine import net_on, require_as_numpy
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import TEST, CafxError, Engine, Routine

KIND = "routine"
ENGINE_KIND = "engine."
REFERENCE = "numpy"
LEAST_WORDS = 4


def engine_name(subject: Subject) -> str:
    """The name of the engine that the routine belongs to."""
    return subject.plugin.kind.removeprefix(ENGINE_KIND)


def engine_of(subject: Subject) -> type[Engine]:
    """The routine's engine.

    Raises:
        CheckFailure: it is not installed.
    """
    try:
        engine: type[Engine] = subject.plugins.load("engine", engine_name(subject))
    except CafxError as error:
        raise CheckFailure(f"the routine's engine cannot be used: {error}") from error
    return engine


def of_layer(subject: Subject) -> Subject:
    """The layer that the routine accelerates.

    Raises:
        CheckFailure: it is not installed.
    """
    try:
        return Subject.of(subject.type, subject.plugins, "layer")
    except CafxError as error:
        raise CheckFailure(f"the routine's layer cannot be used: {error}") from error


def runs(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies where the routine's engine and layer can be used."""
    try:
        reason: str | None = engine_of(subject).unavailable()
        of_layer(subject)
    except CheckFailure as failure:
        return str(failure)
    return reason


def trials(subject: Subject, in_place: bool = False) -> Iterator[tuple[Case, Trial]]:
    """Each case of the layer on the routine's engine."""
    for case in of_layer(subject).cases:
        engine = engine_of(subject)(subject.plugins)
        yield case, Trial(subject.type, case, engine=engine, in_place=in_place, plugins=subject.plugins)


def accelerated(subject: Subject) -> Iterator[tuple[Case, Trial]]:
    """The cases that the routine runs."""
    return ((case, trial) for case, trial in trials(subject) if step_of(trial).run_by != "plain")


def step_of(trial: Trial) -> Any:
    """The step of the layer."""
    return trial.net.program.parts[-1]


@check(
    "entry-point", "the entry point refers to a Routine, in the group of an installed engine", kind=KIND, per_case=False
)
def entry_point(subject: Subject) -> None:
    if not (isinstance(subject.thing, type) and issubclass(subject.thing, Routine)):
        raise CheckFailure(f"entry point {subject.plugin.value} is not a cafx.kernel.Routine")
    if engine_name(subject) == REFERENCE:
        raise CheckFailure(f"'{REFERENCE}' is the reference, and runs layers as written: choose another engine")
    engine_of(subject)


@check("docstring", "the docstring says what it computes", kind=KIND, per_case=False)
def docstring(subject: Subject) -> None:
    if len(own_docstring(subject.thing, Routine).split()) < LEAST_WORDS:
        raise CheckFailure(f"the docstring must have at least {LEAST_WORDS} words")


@check("layer", "the entry point is named after an installed layer type with cases", kind=KIND, per_case=False)
def layer(subject: Subject) -> None:
    if not of_layer(subject).cases:
        raise CheckFailure(f"layer type '{subject.type}' has no cases, so that nothing can be checked")


@check(
    "used",
    "the routine runs in at least one case of the layer, or net of its own",
    kind=KIND,
    per_case=False,
    applies=runs,
)
def used(subject: Subject) -> None:
    notes = {}
    may_be_in_place = bool(of_layer(subject).layer.in_place)
    for case, trial in itertools.chain(trials(subject), trials(subject, True) if may_be_in_place else ()):
        if step_of(trial).run_by != "plain":
            return
        notes[case.name] = step_of(trial).note
    for case in subject.cases:
        with net_on(engine_of(subject)(subject.plugins), subject, case, TEST) as net:
            steps = [each for each in net.program.parts if each.layers[0].layer.type == subject.type]
            if any(each.run_by != "plain" for each in steps):
                return
            notes[case.name] = "; ".join(each.note for each in steps) or f"no layer of type {subject.type}"
    told = "; ".join(f"{name}: {note or 'no reason'}" for name, note in notes.items())
    raise CheckFailure(f"the routine runs in no case of the layer ({told}); yield an EngineCase of its own")


@check("refuses", "what it cannot run raises Unsupported with the reason", kind=KIND, per_case=False, applies=runs)
def refuses(subject: Subject) -> None:
    for case in of_layer(subject).cases:
        try:
            trial = Trial(subject.type, case, engine=engine_of(subject)(subject.plugins), plugins=subject.plugins)
        except Exception as error:
            raise CheckFailure(f"{case.name}: {type(error).__name__} instead of Unsupported: {error}") from error
        step = step_of(trial)
        if step.run_by == "plain" and not step.note.strip() and not trial.layer.as_written:
            raise CheckFailure(f"{case.name} is refused without a reason: raise Unsupported(reason)")


@check("agrees", "every case of the layer gives what numpy computes", kind=KIND, per_case=False, applies=runs)
def agrees(subject: Subject) -> None:
    described = of_layer(subject)
    for case, trial in accelerated(subject):
        results = pass_through(trial)
        if described.layer.deterministic:
            expected = on_numpy(described, case, trial.net.engine.place)
            require_same(results, expected, f"{case.name} differs from numpy", ENGINE_TOLERANCE)
    for case in subject.cases:
        require_as_numpy(subject, engine_of(subject), case)


@check(
    "not-finite",
    "NaN, infinities, denormals and huge values give what numpy gives",
    kind=KIND,
    per_case=False,
    applies=runs,
)
def not_finite(subject: Subject) -> None:
    described = of_layer(subject)
    for case, trial in accelerated(subject):
        if described.layer.deterministic:
            reference = checks_not_finite.reference(described, case, trial)
            checks_not_finite.require_same(trial, reference, f"{case.name}: engine '{engine_name(subject)}'")


@check(
    "bottoms-untouched",
    "no bottom and no top is changed that the layer does not change",
    kind=KIND,
    per_case=False,
    applies=runs,
)
def bottoms_untouched(subject: Subject) -> None:
    for case, trial in accelerated(subject):
        trial.rewind()
        trial.forward()
        bottoms, tops = ([blob.host().copy() for blob in blobs] for blobs in (trial.bottom, trial.top))
        for index, (found, given) in enumerate(zip(bottoms, trial.fed, strict=True)):
            if not np.array_equal(found, np.asarray(given, found.dtype), equal_nan=True):
                raise CheckFailure(f"{case.name}: forward changes bottom {index}")
        if trial.layer.forward_only:
            continue
        trial.backward()
        for index, (blob, before) in enumerate(zip((*trial.bottom, *trial.top), (*bottoms, *tops), strict=True)):
            if not np.array_equal(blob.host(), before, equal_nan=True):
                raise CheckFailure(f"{case.name}: backward changes the data of blob {index} of bottoms and tops")


@check(
    "read-by-engines",
    "the layer documents the attributes that the routine reads",
    kind=KIND,
    per_case=False,
    applies=runs,
)
def read_by_engines(subject: Subject) -> None:
    described, read = of_layer(subject), set[str]()
    for case in described.cases:
        read |= attributes_read(described, case, engine_of(subject))
    unlisted = sorted(read - listed_attributes(described.layer))
    if unlisted:
        raise CheckFailure(
            f"the routine reads {', '.join(unlisted)} of the layer, which its docstring does not list under "
            "'Read by engines': another version of the layer may lack it"
        )
