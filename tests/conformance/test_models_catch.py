"""Each check of the checklist of models catches a model that violates its requirement."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds.model import ModelCase
from cafx.dsl import NetSpec
from cafx.dsl import layers as L

CHECKS = load_checks("model")
COUNTER = itertools.count()
DOC = """A perceptron.

Args:
    classes: number of classes.
    train: end in a loss.

Source: Rosenblatt, 1958.
"""


def spec(classes: int, train: bool) -> NetSpec:
    """The net."""
    n = NetSpec("perceptron")
    n.data = L.Input(shape={"dim": [2, 4]})
    n.fc = L.InnerProduct(n.data, num_output=classes, weight_filler={"type": "xavier"})
    if train:
        n.label = L.Input(shape={"dim": [2]})
        n.loss = L.SoftmaxWithLoss(n.fc, n.label)
    else:
        n.prob = L.Softmax(n.fc)
    return n


def perceptron(*, classes: int = 3, train: bool = False) -> NetSpec:
    """Replaced by `DOC`."""
    return spec(classes, train)


def cases() -> Iterable[ModelCase]:
    """Two classes."""
    yield ModelCase("small", {"classes": 2}, parameters=10)


def made(function: Callable[..., Any] = perceptron, doc: str = DOC, *given: ModelCase) -> Callable[..., Any]:
    """A copy of a function with a docstring and cases."""

    def model(*, classes: int = 3, train: bool = False) -> Any:
        return function(classes=classes, train=train)

    model.__doc__ = doc
    model.cases = (lambda: given) if given else cases  # type: ignore[attr-defined]
    return model


class Proto:
    """A NetSpec of a finished NetParameter."""

    def __init__(self, change: Callable[[Any], object], classes: int, train: bool) -> None:
        self._proto = spec(classes, train).to_proto()
        change(self._proto)

    def to_proto(self) -> Any:
        """The NetParameter."""
        return self._proto


def changed(change: Callable[[Any], object]) -> Callable[..., Any]:
    """A model whose NetParameter is changed."""
    return made(lambda classes, train: Proto(change, classes, train))


def needy(*, classes: int, train: bool = False) -> NetSpec:
    """Replaced by `DOC`."""
    return spec(classes, train)


needy.__doc__ = DOC
needy.cases = cases  # type: ignore[attr-defined]


def rename(proto: Any) -> None:
    """Give all layers one name."""
    for layer in proto.layer:
        layer.name = "layer"


def number(proto: Any) -> None:
    """Another name in each call."""
    proto.name += str(next(COUNTER))


def unknown(proto: Any) -> None:
    """A type that nobody provides."""
    proto.layer[-1].type = "NoSuchLayer"


def infinite(proto: Any) -> None:
    """Weights that are not finite."""
    filler = proto.layer[1].inner_product_param.weight_filler
    filler.type, filler.value = "constant", float("inf")


def read_differently(proto: Any) -> None:
    """A field in an earlier format, which is not the same when read."""
    proto.MergeFromString(b"\xfa\xff\xff\x0f\x05hello")


WRONG: list[tuple[str, Any]] = [
    ("entry-point", needy),
    ("entry-point", type("Model", (), {"cases": staticmethod(cases), "__doc__": DOC})),
    ("docstring", made(doc="A perceptron with classes, which train.")),
    ("parameters", made(doc="A perceptron, as it was published. Source: Rosenblatt, 1958.")),
    ("emitted", changed(read_differently)),
    ("emitted", made(lambda classes, train: None)),
    ("pure", changed(number)),
    ("names", changed(rename)),
    ("names", changed(lambda proto: proto.ClearField("name"))),
    ("types", changed(unknown)),
    ("trains", made(lambda classes, train: spec(classes, False))),
    ("runs", changed(unknown)),
    ("runs", changed(infinite)),
    ("runs", made(perceptron, DOC, ModelCase("small", {"classes": 2}, parameters=11))),
]


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "model"), WRONG, ids=lambda each: each if isinstance(each, str) else "")
def test_the_check_catches_it(check_id: str, model: Any) -> None:
    assert failures("model", model, check_id)


@pytest.mark.slow
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_model_passes(check_id: str) -> None:
    assert failures("model", made(), check_id) == []


def test_a_case_of_another_model_does_not_apply() -> None:
    assert failures("model", made(perceptron, DOC, ModelCase("other", {"no": 1}, of="another")), "runs") == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)
