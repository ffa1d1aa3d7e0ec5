"""The check of a layer's ONNX converter: onnxruntime computes what the layer computes."""

from __future__ import annotations

from importlib import util
from typing import Any

import numpy as np

from cafx.conformance.cases import Case
from cafx.conformance.golden import differs
from cafx.conformance.harness import Trial
from cafx.conformance.suite import CheckFailure, Subject, check
from cafx.kernel import Phase, Registry

KIND = "onnx"
NEEDED = ("onnx", "onnxruntime", "cafx_lib_onnx")
TOLERANCE = 1e-4


def converter_of(subject: Subject) -> Any:
    """The layer's converter; None if no installed plugin provides one."""
    return subject.plugins.load(KIND, subject.type) if subject.type in subject.plugins.names(KIND) else None


def has_converter(subject: Subject, case: Case | None) -> str | None:
    """Applies to layers whose tops a converter exports, where the libraries are installed."""
    missing = [name for name in NEEDED if util.find_spec(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    converter = converter_of(subject)
    if converter is None:
        return "no installed plugin converts it to ONNX"
    reason: str = getattr(converter, "partial", "")
    return reason or None


def in_test_phase(case: Case) -> Case:
    """The case in TEST phase, the one that is exported."""
    return Case(
        case.name,
        *case.bottoms,
        options=case.options,
        layer=case.layer,
        tops=case.tops,
        phase=Phase.TEST,
        params=case.params,
    )


@check("onnx", "the layer's ONNX nodes compute the same in onnxruntime", applies=has_converter)
def onnx(subject: Subject, case: Case) -> None:
    from cafx_lib_onnx import NoOnnxForm, export_net

    trial = Trial(subject.type, in_test_phase(case), plugins=subject.plugins)
    expected = trial.forward()
    trial.rewind()
    for blob, values in zip(trial.bottom, trial.fed, strict=True):
        if blob.shape != values.shape:
            blob.reshape(*values.shape)
    try:
        exported = export_net(trial.net)
    except NoOnnxForm as error:
        raise CheckFailure(f"its converter does not export it: {error}") from None
    results = run_model(exported, trial, subject.plugins)
    for index, (name, values) in enumerate(zip([top.name for top in trial.top], expected, strict=True)):
        if name not in results:
            raise CheckFailure(f"the ONNX model does not compute top {index}")
        problem = differs(results[name], values, TOLERANCE, TOLERANCE)
        if problem:
            raise CheckFailure(f"top {index} differs in onnxruntime: {problem}")


def run_model(exported: Any, trial: Trial, plugins: Registry) -> dict[str, np.ndarray]:
    """The values that onnxruntime computes from the trial's bottoms, by blob."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        exported.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    fed = {blob.name: np.asarray(values, np.float32) for blob, values in zip(trial.bottom, trial.fed, strict=True)}
    inputs = {each.name: fed[each.name] for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    computed = {**inputs, **dict(zip(names, session.run(names, inputs), strict=True))}
    return {blob: computed[value] for blob, value in exported.values.items() if value in computed}
