"""The checklist of ONNX converters.

A converter needs no cases of its own: it converts those of its layer.

>>> from cafx.conformance import plugin_suite
>>> TestReLU = plugin_suite("onnx", "ReLU")
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import util
from typing import Any

import numpy as np

from cafx.conformance import checks_onnx
from cafx.conformance.cases import Case
from cafx.conformance.golden import differs
from cafx.conformance.harness import Trial
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import CafxError

KIND = "onnx"
OWN_DOMAIN = "cafx"


def layer_of(subject: Subject) -> Subject:
    """The layer that is converted.

    Raises:
        CheckFailure: it is not installed.
    """
    try:
        return Subject.of(subject.type, subject.plugins, "layer")
    except CafxError as error:
        raise CheckFailure(f"the converter's layer cannot be used: {error}") from error


def whole(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies where the exported nodes compute the layer's tops, and the libraries are installed."""
    missing = [name for name in checks_onnx.NEEDED if util.find_spec(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    reason: str = getattr(subject.thing, "partial", "")
    return reason or None


def imports(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to converters that import."""
    reason = whole(subject, case)
    return reason or (None if getattr(subject.thing, "operators", ()) else "it imports no operator")


@check(
    "entry-point",
    "the entry point, named after the layer's type, refers to a class with a static method export",
    kind=KIND,
    per_case=False,
)
def entry_point(subject: Subject) -> None:
    if not isinstance(subject.thing, type) or not callable(getattr(subject.thing, "export", None)):
        raise CheckFailure(f"entry point {subject.plugin.value} has no static method export(layer, context)")
    if not isinstance(subject.thing.__dict__.get("export", staticmethod(print)), staticmethod):
        raise CheckFailure("export must be a static method: converters are not instantiated")


@check("docstring", "the docstring says into what it converts the layer", kind=KIND, per_case=False)
def docstring(subject: Subject) -> None:
    if not (subject.thing.__dict__.get("__doc__") or "").strip():
        raise CheckFailure("the converter has no docstring: say which nodes compute the layer")


@check("layer", "the layer is installed, and has cases", kind=KIND, per_case=False)
def layer(subject: Subject) -> None:
    if not layer_of(subject).cases:
        raise CheckFailure(f"layer type '{subject.type}' has no cases, so that nothing can be checked")


@check("partial", "what is left out is said: partial is empty, or the reason", kind=KIND, per_case=False)
def partial(subject: Subject) -> None:
    said = getattr(subject.thing, "partial", "")
    if not isinstance(said, str) or said != said.strip():
        raise CheckFailure(f"partial is {said!r}; expected a reason in words, or nothing")


@check(
    "operators", "it imports operators of ONNX, and has import_ for them", kind=KIND, per_case=False, applies=imports
)
def operators(subject: Subject) -> None:
    from onnx import defs

    if "import_" not in {name for each in subject.thing.__mro__[:-1] for name in vars(each)}:
        raise CheckFailure("it has operators, but no static method import_(context)")
    known = {each.name for each in defs.get_all_schemas()}
    unknown = [each for each in subject.thing.operators if each not in known and not each.startswith(OWN_DOMAIN)]
    if unknown:
        raise CheckFailure(f"ONNX has no operator {', '.join(unknown)}")


def exported(subject: Subject) -> Iterator[tuple[Case, Trial, Any]]:
    """Each case of the layer in TEST phase, with its ONNX model; those without ONNX form are left out."""
    from cafx_lib_onnx import NoOnnxForm, export_net

    for case in layer_of(subject).cases:
        trial = Trial(subject.type, checks_onnx.in_test_phase(case), plugins=subject.plugins)
        for blob, values in zip(trial.bottom, trial.fed, strict=True):
            blob.reshape(*values.shape)
        try:
            yield case, trial, export_net(trial.net)
        except NoOnnxForm as error:
            if not str(error).strip():
                raise CheckFailure(f"{case.name} is refused without a reason") from None


@check("exports", "some case of the layer is exported; what is not says why", kind=KIND, per_case=False, applies=whole)
def exports(subject: Subject) -> None:
    if not any(True for _ in exported(subject)):
        raise CheckFailure("no case of the layer has an ONNX form")


@check(
    "computes",
    "onnxruntime computes from the exported nodes what numpy computes",
    kind=KIND,
    per_case=False,
    applies=whole,
)
def computes(subject: Subject) -> None:
    described = layer_of(subject)
    for case in described.cases:
        if checks_onnx.has_converter(described, case) is not None or "onnx" in case.skip:
            continue
        try:
            checks_onnx.onnx(described, case)
        except CheckFailure as failure:
            raise CheckFailure(f"{case.name}: {failure}") from failure


@check(
    "imports",
    "a layer that is exported and imported again computes the same",
    kind=KIND,
    per_case=False,
    applies=imports,
)
def imported(subject: Subject) -> None:
    from cafx_lib_onnx import import_model

    count, reasons = 0, []
    for case, trial, model in exported(subject):
        expected = trial.forward()
        try:
            again = import_model(model.model, batch=batch_of(trial), plugins=subject.plugins)
        except CafxError as error:
            reasons.append(f"{case.name}: {error}")
            continue
        count += 1
        inputs = {blob.name: values for blob, values in zip(trial.bottom, trial.fed, strict=True)}
        with again.build(engine="numpy", plugins=subject.plugins) as net:
            given = {name: np.asarray(inputs[name], np.float32) for name in net.inputs if name in inputs}
            outputs = net.forward(**given)
        for top, values in zip(trial.top, expected, strict=True):
            problem = differs(outputs[top.name], values, 1e-4, 1e-4) if top.name in outputs else None
            if problem:
                raise CheckFailure(f"{case.name}: after export and import, top '{top.name}' differs: {problem}")
    if not count:
        raise CheckFailure(f"no exported case can be imported again: {'; '.join(reasons)}")


def batch_of(trial: Trial) -> int:
    """The batch size of the first bottom."""
    return int(trial.bottom[0].shape[0]) if trial.bottom and trial.bottom[0].shape else 1
