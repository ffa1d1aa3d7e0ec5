"""Layers on the GPU as on the numpy engine and in Caffe: call by call, recorded and replayed."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import numpy as np
from engines import engine_of
from machine import reference_data
from worker import BROKEN

from cafx.conformance.golden import LayerCase, differs
from cafx.conformance.harness import Trial
from cafx.conformance.suite import Subject
from cafx.kernel import registry
from cafx.kernel.net import PhiloxDraws

TOLERANCES = {"cupy-float32": 1e-4, "cudnn-float32": 1e-3, "cudnn-tf32": 5e-3, "cudnn-bf16": 5e-2}
PASSES = ("eager", "eager again", "recorded", "replayed")
Row = dict[str, Any]


WITHOUT_DATA = ("MemoryData",)
"""Types whose layers have no values until a program gives them some."""


def layer_kinds() -> list[str]:
    """The layer types to run."""
    return [name for name in registry().names("layer") if name not in WITHOUT_DATA]


def results(trial: Trial) -> list[np.ndarray]:
    """The tops, then the gradients of bottoms and parameters."""
    trial.rewind()
    found = [np.array(top) for top in trial.forward()]
    if not trial.layer.forward_only:
        diffs = trial.backward()
        found += [diffs[index] for index in trial.differentiable] + trial.param_diffs
    return found


def conformance(engine: str, precision: str, kind: str) -> Row:
    """Every conformance case of a layer type, and whether its steps were recorded."""
    row: Row = {"cases": 0, "failed": {}, "recorded": 0, "not recorded": {}}
    for case in Subject.of(kind, registry()).cases:
        row["cases"] += 1
        try:
            reference = Trial(kind, case)
            reference.net.context.draws = PhiloxDraws(reference.net.context.streams, np)
            expected = results(reference)
            trial = Trial(kind, case, engine=engine_of(engine, precision))
            problem = _compare(trial, expected, TOLERANCES[f"{engine}-{precision}"])
            why = _not_recorded(trial)
        except Exception as error:
            if type(error).__module__.startswith(BROKEN):
                raise
            problem, why = traceback.format_exc(), "failed"
        if problem:
            row["failed"][case.name] = problem
        if why:
            row["not recorded"][case.name] = why
        else:
            row["recorded"] += 1
    return row | {"ok": not row["failed"]}


def _compare(trial: Trial, expected: list[np.ndarray], tolerance: float) -> str | None:
    for name in PASSES:
        found = results(trial)
        if len(found) != len(expected):
            return f"{name}: {len(found)} results instead of {len(expected)}"
        program: Any = trial.net.program
        if not trial.layer.deterministic and program.parts[-1].run_by != "plain":
            continue  # a routine may draw in another order
        for index, (one, two) in enumerate(zip(found, expected, strict=True)):
            problem = differs(one, two, tolerance, tolerance)
            if problem:
                return f"{name}, result {index}: {problem}"
    return None


def _not_recorded(trial: Trial) -> str | None:
    """Why the layer's step is not in a graph; None if it is."""
    program: Any = trial.net.program
    step = next(step for step in program.steps if any(each.layer is trial.layer for each in step.layers))
    if step in program.recorder.refused:
        return f"refused: {program.recorder.refused[step]}"
    if any(each.is_dynamic for each in program.steps):
        return "shapes depend on values"
    return None if step.is_capturable else "needs the host"


class TolerantCase(LayerCase):
    """A golden case compared with another tolerance than the CPU engines'.

    Args:
        path: the .npz file.
        tolerance: relative to the largest value, and absolute.
    """

    def __init__(self, path: Path, tolerance: float) -> None:
        super().__init__(path)
        self._tolerance = tolerance

    def compare(self, key: str, result: Any, expected: Any = None) -> None:
        """Record a difference beyond the tolerance."""
        expected = self.values[key] if expected is None else expected
        difference = differs(result, expected, self._tolerance, self._tolerance)
        if difference:
            self.wrong.append(f"{key}: {difference}")


def golden_kinds() -> list[str]:
    """Layer types that have golden cases."""
    folder = reference_data("golden/layers")
    return sorted({path.stem.split("_")[0] for path in folder.glob("*.npz")}) if folder else []


def golden(engine: str, precision: str, kind: str) -> Row:
    """Every golden case of a layer type."""
    folder = reference_data("golden/layers")
    assert folder
    row: Row = {"cases": 0, "failed": {}}
    installed = set(registry().names("layer"))
    for path in sorted(folder.glob(f"{kind}_*.npz")):
        case = TolerantCase(path, TOLERANCES[f"{engine}-{precision}"])
        if case.types - installed:
            continue
        row["cases"] += 1
        try:
            wrong = case.replay(engine=engine_of(engine, precision))
        except Exception as error:
            if type(error).__module__.startswith(BROKEN):
                raise
            wrong = [traceback.format_exc()]
        if wrong:
            row["failed"][path.stem] = "; ".join(wrong)
    return row | {"ok": not row["failed"]}
