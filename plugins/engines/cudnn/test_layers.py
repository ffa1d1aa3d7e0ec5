"""Every layer's conformance cases on the stand-in: call by call, recorded and replayed, as the numpy engine."""

import numpy as np
import pytest

from cafx.conformance.checks_engines import attributes_read, listed_attributes
from cafx.conformance.checks_not_finite import reference, require_same
from cafx.conformance.golden import differs
from cafx.conformance.harness import Trial
from cafx.conformance.suite import Subject
from cafx.kernel import registry
from cafx.kernel.net import PhiloxDraws

TOLERANCES = {"cupy": 1e-4, "float32": 1e-3, "tf32": 1e-3, "bf16": 0.05}
PASSES = 4
"""Two call by call, one recorded, one replayed."""
WITHOUT_DATA = ("MemoryData",)
CASES = [
    (name, case)
    for name in registry().names("layer")
    if name not in WITHOUT_DATA
    for case in Subject.of(name, registry()).cases
]


def results(trial):
    trial.rewind()
    found = [np.array(top) for top in trial.forward()]
    if not trial.layer.forward_only:
        diffs = trial.backward()
        found += [diffs[index] for index in trial.differentiable] + trial.param_diffs
    return found


@pytest.fixture(params=["cupy", "float32", pytest.param("bf16", marks=pytest.mark.slow)])
def engine(request, cuda):
    from cafx_engine_cudnn import CuDNN
    from cafx_engine_cupy import CuPy

    return CuPy(registry()) if request.param == "cupy" else CuDNN(registry(), precision=request.param)


@pytest.mark.slow
@pytest.mark.parametrize("engine_name", ["cudnn", "cupy"])
def test_what_routines_read_of_layers_is_documented(engine_name, cuda):
    engine = registry().load("engine", engine_name)
    for name in registry().names(f"engine.{engine_name}"):
        subject = Subject.of(name, registry())
        read = set().union(*(attributes_read(subject, case, engine) for case in subject.cases))
        assert read <= listed_attributes(subject.layer), name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), CASES, ids=[f"{name}.{case.name}" for name, case in CASES])
def test_layer(name, case, engine):
    reference = Trial(name, case)
    reference.net.context.draws = PhiloxDraws(reference.net.context.streams, np)
    expected = results(reference)
    trial = Trial(name, case, engine=engine)
    tolerance = TOLERANCES["cupy" if engine.name == "cupy" else engine.precision]
    for number in range(PASSES):
        found = results(trial)
        if trial.layer.deterministic or trial.net.program.parts[-1].run_by == "plain":
            problems = [differs(one, two, tolerance, tolerance) for one, two in zip(found, expected, strict=True)]
            assert not any(problems), f"pass {number}: {problems}"
    assert not trial.net.program.recorder.refused


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({name for name, _ in CASES} & set(registry().names("engine.cudnn"))))
def test_what_is_not_finite_stays_so(name, cuda):
    subject = Subject.of(name, registry())
    for case in subject.cases:
        trial = Trial(name, case, engine=registry().load("engine", "cudnn")(registry()))
        if subject.layer.deterministic and trial.net.program.parts[-1].run_by != "plain":
            require_same(trial, reference(subject, case, trial), "cudnn")
