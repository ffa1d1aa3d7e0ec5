"""The checklist of models.

>>> from cafx.conformance import plugin_suite
>>> TestSqueezeNet = plugin_suite("model", "squeezenet")
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import TRAIN, CafxError, Net, schema

KIND = "model"
NET = "NetParameter"
LEAST_WORDS, SEED = 5, 5


@attrs.frozen
class ModelCase:
    """A model with arguments.

    Args:
        name: a short name, unique among the model's cases.
        options: arguments of the function, by name; small ones, so that the net is built in a second.
        of: the model, if several functions of a module are models.
        values: values of inputs; others are drawn, from a normal distribution.
        parameters: the number of values of all parameters, as published or counted.
        runs: whether the net is built and run forward.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    of: str = ""
    values: Mapping[str, Any] = attrs.field(factory=dict)
    parameters: int | None = None
    runs: bool = True
    skip: Mapping[str, str] = attrs.field(factory=dict)


def cases(subject: Subject) -> list[ModelCase]:
    """The model's cases, and the one without arguments."""
    own = [case for case in subject.cases if case.of in ("", subject.type)]
    return [*own, ModelCase("default", runs=False)]


def mine(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases of this model that are run."""
    if not isinstance(case, ModelCase):
        return None
    if case.of not in ("", subject.type):
        return f"the case is about '{case.of}'"
    return None if case.runs else "the case is not run"


def made(subject: Subject, case: ModelCase, **options: Any) -> Any:
    """The net of a case, as NetParameter."""
    try:
        spec = subject.thing(**{**case.options, **options})
    except TypeError as error:
        raise CheckFailure(f"{case.name}: it cannot be called with {dict(case.options)}: {error}") from error
    if not hasattr(spec, "to_proto"):
        raise CheckFailure(f"{case.name}: it returns {type(spec).__name__}, not a NetSpec")
    return spec.to_proto()


@check("entry-point", "the entry point refers to a function that needs no argument", kind=KIND, per_case=False)
def entry_point(subject: Subject) -> None:
    if not callable(subject.thing) or isinstance(subject.thing, type):
        raise CheckFailure(f"entry point {subject.plugin.value} is not a function")
    needed = [each.name for each in parameters_of(subject) if each.default is each.empty]
    if needed:
        raise CheckFailure(f"{', '.join(needed)} must have a default: 'cafx net' builds a model without arguments")


def parameters_of(subject: Subject) -> Sequence[inspect.Parameter]:
    """The parameters of the function."""
    return list(inspect.signature(subject.thing).parameters.values())


@check("docstring", "the docstring says what it is, and where it was published", kind=KIND, per_case=False)
def docstring(subject: Subject) -> None:
    text = inspect.getdoc(subject.thing) or ""
    if len(text.split()) < LEAST_WORDS or "source:" not in text.lower():
        raise CheckFailure("the docstring must say what the model is, and 'Source:' where it was published")


@check(
    "parameters", "every parameter is documented, by the function, its module or its package", kind=KIND, per_case=False
)
def parameters(subject: Subject) -> None:
    module = subject.thing.__module__
    texts = [
        inspect.getdoc(subject.thing),
        *(getattr(sys.modules.get(name), "__doc__", "") for name in parents(module)),
    ]
    documented = "\n".join(text or "" for text in texts)
    missing = [each.name for each in parameters_of(subject) if each.name not in documented]
    if missing:
        raise CheckFailure(f"no docstring has a line on {', '.join(missing)}")


def parents(module: str) -> list[str]:
    """A module and the packages that it is in."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


@check("emitted", "the emitted prototxt, read back, is the same net", kind=KIND, per_case=False)
def emitted(subject: Subject) -> None:
    composed = schema(subject.plugins)
    for case in cases(subject):
        proto = made(subject, case)
        text = composed.parse_text(composed.to_text(proto), NET, case.name)
        binary = composed.parse_bytes(proto.SerializeToString(), NET, case.name)
        for what, again in (("prototxt", text), ("binary", binary)):
            if again.SerializeToString(deterministic=True) != proto.SerializeToString(deterministic=True):
                raise CheckFailure(f"{case.name}: the {what}, read back, is another net")


@check("pure", "two calls give equal nets", kind=KIND, per_case=False)
def pure(subject: Subject) -> None:
    for case in cases(subject):
        if made(subject, case) != made(subject, case):
            raise CheckFailure(f"{case.name}: a second call gives another net")


@check("names", "the net has a name, and its layers have unique names", kind=KIND, per_case=False)
def names(subject: Subject) -> None:
    for case in cases(subject):
        proto = made(subject, case)
        if not proto.name:
            raise CheckFailure(f"{case.name}: the net has no name: NetSpec(name)")
        found = [layer.name for layer in proto.layer]
        twice = sorted({name for name in found if found.count(name) > 1 and not in_one_phase(proto, name)})
        if twice:
            raise CheckFailure(f"{case.name}: several layers are called {', '.join(twice)}")


def in_one_phase(proto: Any, name: str) -> bool:
    """Whether each layer of a name is for a phase of its own."""
    phases = [rule.phase for layer in proto.layer if layer.name == name for rule in layer.include]
    count = sum(layer.name == name for layer in proto.layer)
    return bool(len(phases) == len(set(phases)) == count)


@check("types", "every layer type is installed", kind=KIND, per_case=False)
def types(subject: Subject) -> None:
    installed = set(subject.plugins.names("layer"))
    for case in cases(subject):
        missing = sorted({layer.type for layer in made(subject, case).layer} - installed)
        if missing:
            raise CheckFailure(f"{case.name}: no installed plugin provides {', '.join(missing)}: depend on it")


@check("trains", "with train=True, the net ends in a loss", kind=KIND, per_case=False)
def trains(subject: Subject) -> None:
    if "train" not in [each.name for each in parameters_of(subject)]:
        return
    for case in cases(subject):
        types_ = {layer.type for layer in made(subject, case, train=True).layer}
        if not any(
            subject.plugins.load("layer", each).is_loss for each in types_ & set(subject.plugins.names("layer"))
        ):
            raise CheckFailure(f"{case.name}: with train=True, there is no loss")


@check("runs", "the net is built, has the stated number of parameters, and runs forward", kind=KIND, applies=mine)
def runs(subject: Subject, case: ModelCase) -> None:
    proto = made(subject, case)
    try:  # in TRAIN phase, normalisation is by the batch's statistics: there are no learned ones
        with Net(proto, TRAIN, engine="numpy", seed=SEED, keep="outputs", plugins=subject.plugins) as net:
            count = sum(blob.count_ for layer in net.layers for blob in layer.blobs)
            if case.parameters not in (None, count):
                raise CheckFailure(f"it has {count:,} parameters, not {case.parameters:,}")
            rng = np.random.default_rng(SEED)
            given = {name: case.values.get(name, rng.normal(size=net.blobs[name].shape)) for name in net.inputs}
            with np.errstate(all="ignore"):
                outputs = net.forward(**given)
    except CafxError as error:
        raise CheckFailure(f"it cannot be run: {error}") from error
    if not outputs:
        raise CheckFailure("the net has no outputs")
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise CheckFailure(f"output '{name}' is not finite")
