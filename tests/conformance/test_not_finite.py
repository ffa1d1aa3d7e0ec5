"""The check `not-finite` catches every way in which an engine treats extreme values unlike numpy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from cafx.conformance import Case, CheckFailure, Subject, load_checks
from cafx.kernel import Blob, CafxError, Engine, Layer, Registry, Routine
from cafx.kernel.schema import FillerParameter


class Scaled(Layer):
    """y = w x.

    Bottom: any shape. Top: the same shape. Parameter: w, one value.
    """

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.add_parameter((1,), FillerParameter(value=1.5))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].mutable_data[...] = self.blobs[0].data * bottom[0].data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.blobs[0].mutable_diff[...] += (top[0].diff * bottom[0].data).sum()
        if propagate_down[0]:
            bottom[0].mutable_diff[...] = top[0].diff * self.blobs[0].data

    @classmethod
    def cases(cls) -> Iterable[Case]:
        yield Case("plain", (3, 4))


class Padded(Scaled):
    may_skip_padding = True


class Right(Routine):
    def forward(self) -> None:
        self.layer.forward(list(self.planned.bottoms), list(self.planned.tops))

    def backward(self) -> None:
        planned = self.planned
        self.layer.backward(list(planned.tops), list(planned.propagate_down), list(planned.bottoms))


class LosesNaN(Right):
    def forward(self) -> None:
        super().forward()
        y = self.planned.tops[0].mutable_data
        y[np.isnan(y)] = 0


class LosesAllNaN(LosesNaN):
    def backward(self) -> None:
        super().backward()
        for diff in (self.planned.bottoms[0].mutable_diff, self.layer.blobs[0].mutable_diff):
            diff[np.isnan(diff)] = 0


class LosesNaNBackward(Right):
    def backward(self) -> None:
        super().backward()
        dx = self.planned.bottoms[0].mutable_diff
        dx[np.isnan(dx)] = 0


class SpreadsNaN(Right):
    def forward(self) -> None:
        super().forward()
        y = self.planned.tops[0].mutable_data
        y[np.isnan(y).any(axis=1)] = np.nan


class LimitsInfinity(Right):
    def forward(self) -> None:
        super().forward()
        y = self.planned.tops[0].mutable_data
        y[...] = np.clip(y, np.finfo(np.float32).min, np.finfo(np.float32).max)


class LosesTheSign(Right):
    def forward(self) -> None:
        super().forward()
        y = self.planned.tops[0].mutable_data
        y[np.isneginf(y)] = np.inf


class SpoilsNeighbours(Right):
    def forward(self) -> None:
        super().forward()
        y = self.planned.tops[0].mutable_data
        y += np.where(np.isfinite(y), 1e-9 * np.nan_to_num(np.abs(y).max(), nan=0, posinf=0), 0).astype(np.float32)


class Refuses(Right):
    def forward(self) -> None:
        if np.isnan(self.planned.bottoms[0].data).any():
            raise CafxError("NaN in the bottom")
        super().forward()


class OtherEngine(Engine):
    name = "other"


def run(routine: type[Any], layer: type[Any] = Scaled) -> None:
    """Run the check on an engine that has only this routine."""
    plugins = Registry()
    plugins.add("layer", "Scaled", layer)
    plugins.add("engine", "other", OtherEngine)
    plugins.add("engine.other", "Scaled", routine)
    subject = Subject.of("Scaled", plugins)
    for case in subject.cases:
        load_checks()["not-finite"].run(subject, case)


@pytest.mark.slow
@pytest.mark.parametrize("layer", [Scaled, Padded])
def test_an_engine_that_does_as_numpy_passes(layer: type[Any]) -> None:
    run(Right, layer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("routine", "message"),
    [
        (LosesNaN, "with NaN in bottom 0 .*: top 0 .* is 0, not nan"),
        (LosesNaNBackward, "with NaN in .*: gradient of bottom 0 .* is 0, not nan"),
        (SpreadsNaN, "with NaN in bottom 0 .*: top 0 .* is nan, not"),
        (LimitsInfinity, "with inf in bottom 0 .*: top 0 .* not inf"),
        (LosesTheSign, "with -inf in bottom 0 .*: top 0 .* is inf, not -inf"),
        (SpoilsNeighbours, "with 1e38 in bottom 0"),
        (Refuses, "on one of them, NaN in the bottom"),
    ],
)
def test_an_engine_that_does_otherwise_is_caught(routine: type[Any], message: str) -> None:
    with pytest.raises(CheckFailure, match=message):
        run(routine)


def test_a_layer_that_may_skip_padding_must_not_lose_nan() -> None:
    with pytest.raises(CheckFailure, match="with NaN"):
        run(LosesAllNaN, Padded)
