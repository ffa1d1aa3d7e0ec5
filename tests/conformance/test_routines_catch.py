"""Each check of the checklist of routines catches a routine that violates its requirement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance import Subject, load_checks
from cafx.conformance.catching import problems_of
from cafx.kernel import Engine, Registry, Routine, Unsupported

CHECKS = load_checks("routine")


class OwnEngine(Engine):
    """An engine with one routine."""

    name = "own"
    priority = -8


class Rectifier(Routine):
    """y = max(x, 0) + negative_slope · min(x, 0), on matrices at least."""

    def __init__(self, compilation: Any, planned: Any) -> None:
        if planned.tops[0].num_axes < 2:
            raise Unsupported("not a matrix")
        super().__init__(compilation, planned)
        self.slope = planned.layer.options.negative_slope
        self.bottom, self.top = planned.bottoms[0], planned.tops[0]

    def forward(self) -> None:
        """See `Routine`."""
        y = np.maximum(self.bottom.data, 0)
        if self.slope:
            y += self.slope * np.minimum(self.bottom.data, 0)
        self.top.mutable_data[...] = y

    def backward(self) -> None:
        """See `Routine`."""
        x = self.bottom.data
        self.bottom.mutable_diff[...] = self.top.diff * ((x > 0) + self.slope * (x <= 0))


WRONG: list[tuple[str, type[Any]]] = []


def wrong(check: str) -> Any:
    """Register a routine that ``check`` must catch."""

    def register(routine: type[Any]) -> type[Any]:
        routine.__doc__ = routine.__doc__ or Rectifier.__doc__
        WRONG.append((check, routine))
        return routine

    return register


@wrong("entry-point")
class NoRoutine:
    pass


@wrong("docstring")
class Undocumented(Rectifier):
    """Rectifies."""


@wrong("used")
class Never(Rectifier):
    def __init__(self, compilation: Any, planned: Any) -> None:
        raise Unsupported("never")


@wrong("refuses")
class Silent(Rectifier):
    def __init__(self, compilation: Any, planned: Any) -> None:
        raise Unsupported("")


@wrong("refuses")
class Failing(Rectifier):
    def __init__(self, compilation: Any, planned: Any) -> None:
        raise ValueError("not a matrix")


@wrong("agrees")
class WithoutSlope(Rectifier):
    def forward(self) -> None:
        self.top.mutable_data[...] = np.maximum(self.bottom.data, 0)


@wrong("agrees")
class WrongGradient(Rectifier):
    def backward(self) -> None:
        self.bottom.mutable_diff[...] = self.top.diff


@wrong("not-finite")
class Hiding(Rectifier):
    def forward(self) -> None:
        super().forward()
        np.nan_to_num(self.top.mutable_data, copy=False, posinf=np.inf)


@wrong("bottoms-untouched")
class Changing(Rectifier):
    def forward(self) -> None:
        super().forward()
        self.bottom.mutable_data[...] += 1


@wrong("bottoms-untouched")
class ChangingTops(Rectifier):
    def backward(self) -> None:
        super().backward()
        self.top.mutable_data[...] += 1


@wrong("read-by-engines")
class Prying(Rectifier):
    def __init__(self, compilation: Any, planned: Any) -> None:
        super().__init__(compilation, planned)
        self.secret = getattr(planned.layer, "_secret", None)


def subject(routine: Any, layer: str = "ReLU", engine: str = "own") -> Subject:
    """A routine of an engine that is not installed."""
    plugins = Registry()
    plugins.add("engine", "own", OwnEngine)
    kind = f"engine.{engine}"
    plugins.add(kind, layer, routine)
    return Subject.of(layer, plugins, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "routine"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, routine: type[Any]) -> None:
    assert problems_of(subject(routine), "routine", check_id)


@pytest.mark.slow
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_routine_passes(check_id: str) -> None:
    assert problems_of(subject(Rectifier), "routine", check_id) == []


def test_a_routine_of_a_layer_or_engine_that_is_not_installed_is_told() -> None:
    assert "unknown layer type" in problems_of(subject(Rectifier, "NoSuchLayer"), "routine", "layer")[0]
    assert "unknown engine" in problems_of(subject(Rectifier, "ReLU", "nowhere"), "routine", "entry-point")[0]


def test_the_reference_has_no_routines() -> None:
    assert "is the reference" in problems_of(subject(Rectifier, engine="numpy"), "routine", "entry-point")[0]


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} | {"layer"} == set(CHECKS)
