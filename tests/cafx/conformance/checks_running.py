"""Checks of a layer in a running net: changing shapes, seeds, engines, files, memory."""

from __future__ import annotations

import copy
import json
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np

from cafx.conformance.cases import Bottom, Case
from cafx.conformance.device_engine import DeviceEngine
from cafx.conformance.golden import differs
from cafx.conformance.harness import Trial
from cafx.conformance.strict import StrictPassError
from cafx.conformance.suite import CheckFailure, Subject, all_of, check, has_bottoms
from cafx.kernel import HOST, CafxError, Place
from cafx.kernel.net import PhiloxDraws

ENGINE_TOLERANCE = 1e-3
WARM_UP, ROUNDS = 3, 10
GROWTH_ALLOWED = 64 * 1024


def pass_through(trial: Trial) -> list[np.ndarray]:
    """Tops, input gradients and parameter gradients of one pass."""
    results = trial.forward()
    if not trial.layer.forward_only:
        diffs = trial.backward()
        results += [diffs[index] for index in trial.differentiable] + trial.param_diffs
    return results


def require_same(results: list[np.ndarray], expected: list[np.ndarray], advice: str, tolerance: float = 1e-5) -> None:
    """Raise CheckFailure with ``advice`` if the results of two passes differ."""
    for position, (one, two) in enumerate(zip(results, expected, strict=True)):
        problem = differs(one, two, tolerance, tolerance)
        if problem:
            raise CheckFailure(f"{advice} (array {position} of tops and gradients: {problem})")


def batched(case: Case, batch: int) -> Case:
    """The case with another length of the bottoms' first axis."""
    bottoms = [Bottom((batch, *bottom.shape[1:]), bottom.draw) for bottom in case.bottoms]
    return Case(
        case.name,
        *bottoms,
        options=case.options,
        layer=case.layer,
        tops=case.tops,
        phase=case.phase,
        params=case.params,
    )


@check("reshape-idempotent", "reshaping twice changes nothing")
def reshape_idempotent(subject: Subject, case: Case) -> None:
    plain, again = (Trial(subject.type, case, plugins=subject.plugins) for _ in range(2))
    for _ in range(2):
        again.layer.reshape(again.bottom, again.top)
    require_same(pass_through(again), pass_through(plain), "a second reshape changes the result")


def can_change_batch(subject: Subject, case: Case | None) -> str | None:
    """Applies to cases whose bottoms have a common batch axis."""
    assert case is not None
    firsts = {bottom.shape[:1] for bottom in case.bottoms}
    return None if len(firsts) == 1 and firsts != {()} else "the bottoms have no common batch axis"


@check(
    "reshape-follows",
    "larger and smaller batches give the results of a fresh net",
    applies=all_of(has_bottoms, can_change_batch),
)
def reshape_follows(subject: Subject, case: Case) -> None:
    batch = case.bottoms[0].shape[0]
    trial = Trial(subject.type, case, plugins=subject.plugins)
    pass_through(trial)
    for size in (2 * batch + 1, max(1, batch - 1), batch):
        other = batched(case, size)
        try:
            fresh = Trial(subject.type, other, plugins=subject.plugins)
        except CafxError:
            return
        for blob, params in zip(trial.layer.blobs, fresh.params, strict=True):
            if blob.shape != params.shape:
                return
        trial.fed = fresh.fed
        trial.params, trial.start = fresh.params, copy.deepcopy(fresh.start)
        trial.forward()
        trial.rewind()
        require_same(pass_through(trial), pass_through(fresh), f"wrong results after a reshape to batch {size}")


@check("seeded", "the same seed gives the same results")
def seeded(subject: Subject, case: Case) -> None:
    one, two = (Trial(subject.type, case, plugins=subject.plugins) for _ in range(2))
    require_same(pass_through(one), pass_through(two), "two runs with the same seed differ: draw from self.rng", 0.0)
    if subject.layer.deterministic and not subject.layer.keeps_state:
        first = two.forward()
        require_same(
            two.forward(), first, "two forward passes differ: set deterministic = False or keeps_state = True", 0.0
        )


@check("resume", "a restored layer continues with the same results")
def resume(subject: Subject, case: Case) -> None:
    trial = Trial(subject.type, case, plugins=subject.plugins)
    trial.forward()
    state = json.loads(json.dumps(trial.net.state()))
    params = [blob.host() for blob in trial.layer.blobs]
    expected = trial.forward()
    fresh = Trial(subject.type, case, plugins=subject.plugins)
    fresh.net.restore(state)
    for blob, values in zip(fresh.layer.blobs, params, strict=True):
        blob.set_data(values)
    require_same(fresh.forward(), expected, "a restored layer gives different results: see Layer.state", 0.0)


def on_numpy(subject: Subject, case: Case, place: Place) -> list[np.ndarray]:
    """Results of the numpy engine, with the random numbers that engines of a place draw."""
    trial = Trial(subject.type, case, plugins=subject.plugins)
    if place is not HOST:
        context = trial.net.context
        context.draws = PhiloxDraws(context.streams, context.xp)
    return pass_through(trial)


@check("engines", "all installed engines agree with numpy")
def engines(subject: Subject, case: Case) -> None:
    for plugin, engine in subject.plugins.usable("engine"):
        if plugin.name == "numpy" or engine.unavailable() is not None:
            continue
        trial = Trial(subject.type, case, engine=engine(subject.plugins), plugins=subject.plugins)
        results = pass_through(trial)
        if not subject.layer.deterministic and trial.net.program.parts[-1].run_by != "plain":
            continue
        expected = on_numpy(subject, case, trial.net.engine.place)
        require_same(results, expected, f"engine '{plugin.name}' disagrees with numpy", ENGINE_TOLERANCE)


@check("device", "the layer computes with self.xp only, so that it runs on a GPU")
def device(subject: Subject, case: Case) -> None:
    try:
        results = pass_through(on_device(subject, case))
    except StrictPassError as error:
        raise CheckFailure(str(error)) from error
    except (TypeError, AttributeError) as error:
        raise CheckFailure(f"on a device: {error}; compute with self.xp and array methods") from error
    expected = on_numpy(subject, case, DeviceEngine.place)
    require_same(results, expected, "results on a device differ from those on the host")


def on_device(subject: Subject, case: Case) -> Trial:
    """The layer on the stand-in device."""
    return Trial(subject.type, case, engine=DeviceEngine(subject.plugins), plugins=subject.plugins)


@check("capturable", "forward and backward read nothing on the host, unless the layer says capturable = False")
def capturable(subject: Subject, case: Case) -> None:
    trial = on_device(subject, case)
    if not trial.layer.capturable:
        return
    if subject.layer.dynamic_shape:
        raise CheckFailure("shapes that are known only after forward cannot be recorded: set capturable = False")
    try:
        pass_through(trial)
        trial.net.restore(json.loads(json.dumps(trial.net.state())))
        pass_through(trial)
    except StrictPassError as error:
        raise CheckFailure(str(error)) from error


@check("save-load", "parameters survive saving and loading")
def save_load(subject: Subject, case: Case) -> None:
    trial = Trial(subject.type, case, plugins=subject.plugins)
    trial.params = [values + trial.rng.uniform(0, 1, values.shape) for values in trial.params]
    trial.rewind()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "subject.caffemodel"
        trial.net.save(path)
        expected = trial.forward()
        other = Trial(subject.type, case, plugins=subject.plugins)
        other.forward()
        other.rewind()
        other.net.copy_from(path)
    require_same(other.forward(), expected, "loaded parameters give different results", 0.0)


@check("no-growth", "memory does not grow over iterations", per_case=False)
def no_growth(subject: Subject) -> None:
    if not subject.cases or "no-growth" in subject.cases[0].skip:
        return
    trial = Trial(subject.type, subject.cases[0], plugins=subject.plugins)
    for _ in range(WARM_UP):
        pass_through(trial)
    tracemalloc.start()
    try:
        pass_through(trial)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(ROUNDS):
            pass_through(trial)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    if grown > GROWTH_ALLOWED:
        raise CheckFailure(f"memory grew by {grown} bytes in {ROUNDS} iterations: find what the layer keeps")
