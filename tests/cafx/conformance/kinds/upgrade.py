"""The checklist of upgrades.

>>> from cafx.conformance import plugin_suite
>>> TestLegacy = plugin_suite("upgrade", "legacy")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.kinds.engine import BRANCHES, CONVOLUTIONS
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import CafxError, schema
from cafx.kernel.net import BlobValues, LayerWeights
from cafx.kernel.schema import Upgrade

KIND = "upgrade"
NET, SOLVER = "NetParameter", "SolverParameter"
CALLED = "old.prototxt"
UNKNOWN = b"\xfa\xff\xff\x0f\x05hello"
"""A field that no message has: number 33554431, of bytes."""
CURRENT = {NET: (CONVOLUTIONS, BRANCHES), SOLVER: ('type: "Adam" base_lr: 0.1 lr_policy: "fixed" max_iter: 9',)}
WEIGHTS = (("conv", (2, 3)), ("fc", (4,)), ("loss", ()))


@attrs.frozen
class UpgradeCase:
    """A file in another format, and what it becomes.

    Args:
        name: a short name, unique among the upgrade's cases.
        old: the net or solver, as prototxt.
        new: what it becomes; equal to ``old`` if it stays as it is.
        message: NetParameter or SolverParameter.
        weights: shapes of parameters by layer name: those of a weights file before, and those afterwards.
        error: words of the error, if it cannot be upgraded.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    old: str = ""
    new: str = ""
    message: str = NET
    weights: tuple[Mapping[str, Sequence[Sequence[int]]], Mapping[str, Sequence[Sequence[int]]]] | None = None
    error: str = ""
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, Upgrade)


def succeeds(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases with a net or solver that can be upgraded."""
    if not isinstance(case, UpgradeCase):
        return None
    return "the case is about an error" if case.error else None if case.old else "the case has no net or solver"


def has_error(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases about an error."""
    return None if isinstance(case, UpgradeCase) and case.error else "the case expects no error"


def has_weights(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases with weights."""
    return None if isinstance(case, UpgradeCase) and case.weights is not None else "the case has no weights"


def parsed(subject: Subject, text: str, message: str) -> Any:
    """A prototxt."""
    return schema(subject.plugins).parse_text(text, message, CALLED)


def upgraded(subject: Subject, proto: Any, message: str) -> Any:
    """A copy of a message, upgraded."""
    copied = type(proto)()
    copied.CopyFrom(proto)
    upgrade = subject.thing()
    return (upgrade.upgrade_net if message == NET else upgrade.upgrade_solver)(copied, CALLED)


def shown(subject: Subject, proto: Any) -> str:
    """The beginning of a message as text."""
    return repr(schema(subject.plugins).to_text(proto)[:400])


@check("upgrades", "the case's file becomes what the case says", kind=KIND, applies=succeeds)
def upgrades(subject: Subject, case: UpgradeCase) -> None:
    found = upgraded(subject, parsed(subject, case.old, case.message), case.message)
    if found != parsed(subject, case.new, case.message):
        raise CheckFailure(f"it becomes {shown(subject, found)}")


@check("idempotent", "what has been upgraded is not changed by another upgrade", kind=KIND, applies=succeeds)
def idempotent(subject: Subject, case: UpgradeCase) -> None:
    once = upgraded(subject, parsed(subject, case.old, case.message), case.message)
    twice = upgraded(subject, once, case.message)
    if once != twice:
        raise CheckFailure(f"upgraded once more, it becomes {shown(subject, twice)}")


@check("current", "nets, solvers and weights in the current format stay as they are", kind=KIND, per_case=False)
def current(subject: Subject) -> None:
    for message, texts in CURRENT.items():
        for text in texts:
            before = parsed(subject, text, message)
            after = upgraded(subject, before, message)
            if before.SerializeToString(deterministic=True) != after.SerializeToString(deterministic=True):
                raise CheckFailure(f"a current {message} becomes {shown(subject, after)}")
    entries = [weights_of(name, [shape] if shape else []) for name, shape in WEIGHTS]
    if described(subject.thing().upgrade_weights(entries)) != described(entries):
        raise CheckFailure("weights of layers that are none of its business are changed")


@check("round-trip", "what has been upgraded survives conversion to text and to binary", kind=KIND, applies=succeeds)
def round_trip(subject: Subject, case: UpgradeCase) -> None:
    found = upgraded(subject, parsed(subject, case.old, case.message), case.message)
    composed = schema(subject.plugins)
    if parsed(subject, composed.to_text(found), case.message) != found:
        raise CheckFailure("it is another one after conversion to text and back")
    if composed.parse_bytes(found.SerializeToString(), case.message, CALLED) != found:
        raise CheckFailure("it is another one after conversion to binary and back")


@check("unknown-fields", "fields that no installed plugin knows are kept", kind=KIND, applies=succeeds)
def unknown_fields(subject: Subject, case: UpgradeCase) -> None:
    composed = schema(subject.plugins)
    proto = composed.parse_bytes(
        parsed(subject, case.old, case.message).SerializeToString() + UNKNOWN, case.message, CALLED
    )
    if UNKNOWN not in upgraded(subject, proto, case.message).SerializeToString():
        raise CheckFailure(f"an unknown field of {case.message} is lost: change the message in place")
    if case.message == NET:
        proto = parsed(subject, case.new, NET)
        kept = 0
        for layer in proto.layer:
            layer.MergeFromString(UNKNOWN)
            kept += 1
        if upgraded(subject, proto, NET).SerializeToString().count(UNKNOWN) != kept:
            raise CheckFailure("an unknown field of a layer in the current format is lost")


@check("errors", "what cannot be upgraded raises a CafxError that names the file", kind=KIND, applies=has_error)
def errors(subject: Subject, case: UpgradeCase) -> None:
    try:
        upgraded(subject, parsed(subject, case.old, case.message), case.message)
    except CafxError as error:
        if case.error not in str(error) or CALLED not in str(error):
            raise CheckFailure(f"the error does not have '{case.error}' and '{CALLED}': {error}") from None
    except Exception as error:
        raise CheckFailure(f"{type(error).__name__} instead of a CafxError: {error}") from error
    else:
        raise CheckFailure("it is upgraded, though the case expects an error")


@check("weights", "parameters become what the case says, and are then left alone", kind=KIND, applies=has_weights)
def weights(subject: Subject, case: UpgradeCase) -> None:
    assert case.weights is not None
    before, after = case.weights
    upgrade = subject.thing()
    found = list(upgrade.upgrade_weights([weights_of(name, shapes) for name, shapes in before.items()]))
    expected = {name: [tuple(shape) for shape in shapes] for name, shapes in after.items()}
    shapes = {each.name: [tuple(blob.shape) for blob in each.blobs] for each in found}
    if shapes != expected:
        raise CheckFailure(f"the parameters become {shapes}")
    if described(upgrade.upgrade_weights(found)) != described(found):
        raise CheckFailure("weights that have been upgraded are changed by another upgrade")


def weights_of(name: str, shapes: Sequence[Sequence[int]]) -> LayerWeights:
    """Parameters of these shapes, counting from 1."""
    blobs = [
        BlobValues(tuple(shape), np.arange(1, 1 + int(np.prod(shape, dtype=int)), dtype=np.float32)) for shape in shapes
    ]
    return LayerWeights(name, blobs)


def described(entries: Sequence[Any]) -> list[Any]:
    """Entries of a weights file for comparison."""
    return [(each.name, [(tuple(blob.shape), blob.data.tobytes()) for blob in each.blobs]) for each in entries]
