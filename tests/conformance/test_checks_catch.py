"""Each check of the conformance suite catches a layer that violates its requirement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from cafx.conformance import Case, CheckFailure, Subject, load_checks
from cafx.kernel import Blob, CafxError, Engine, Layer, Message, Registry, Routine, message, option
from cafx.kernel.schema import FillerParameter


@message("bent_param")
class BentParameter(Message):
    """Options of the layer under test."""

    bend: float = option(1, "float", 0.5, doc="factor of the square")


class Bent(Layer):
    """y = w (x + bend x²): a correct layer.

    Bottom: any shape. Top: the same shape. Parameter: w, a scalar in an axis of length 1.
    Gradient: dx = dy w (1 + 2 bend x), dw = Σ dy (x + bend x²).
    """

    Parameter: Any = BentParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create w."""
        self.add_parameter((1,), FillerParameter(value=1.5))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the shape of the bottom."""
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Y = w (x + bend x²)."""
        x = bottom[0].data
        top[0].mutable_data[...] = self.blobs[0].data * (x + self.options.bend * x * x)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Compute both gradients."""
        x, dy, bend = bottom[0].data, top[0].diff, self.options.bend
        self.blobs[0].mutable_diff[...] += (dy * (x + bend * x * x)).sum()
        if propagate_down[0]:
            bottom[0].mutable_diff[...] = dy * self.blobs[0].data * (1 + 2 * bend * x)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Two cases with different numbers of axes."""
        yield Case("plain", (3, 4), options={"bend": 0.25})
        yield Case("more", (2, 3, 2))


WRONG: dict[str, type[Any]] = {}


def wrong(check: str) -> Any:
    """Register a layer that ``check`` must catch."""

    def register(layer: type[Any]) -> type[Any]:
        layer.__doc__ = layer.__doc__ or Bent.__doc__
        WRONG[check] = layer
        return layer

    return register


@wrong("entry-point")
class InTheWrongGroup(Bent):
    is_loss = True


@wrong("docstring")
class Undocumented(Bent):
    """Bends."""


@message("silent_param")
class SilentParameter(Message):
    """Options without documentation."""

    bend: float = option(1, "float", 0.5, doc="")


@wrong("options-documented")
class Silent(Bent):
    Parameter = SilentParameter


@wrong("options-exercised")
class Unexercised(Bent):
    @classmethod
    def cases(cls) -> Iterable[Case]:
        yield Case("plain", (3, 4))


@message("lenient_param")
class LenientParameter(Message):
    """Options that accept anything."""

    bend: float = option(1, "float", 0.5, doc="factor of the square")

    def __init__(self, **options: Any) -> None:
        super().__init__(**{k: v for k, v in options.items() if isinstance(v, float)})


@wrong("options-validated")
class Lenient(Bent):
    Parameter = LenientParameter


@message("lossy_param")
class LossyParameter(Message):
    """Options that are lost in a file."""

    bend: float = option(1, "float", 0.5, doc="factor of the square")

    @classmethod
    def from_proto(cls, proto: Any) -> Any:
        return cls()


@wrong("round-trip")
class Lossy(Bent):
    Parameter = LossyParameter


@wrong("arity")
class UntestedNumbersOfBottoms(Bent):
    bottoms = (1, 3)


@wrong("cases")
class NoCases(Bent):
    @classmethod
    def cases(cls) -> Iterable[Case]:
        return ()


@wrong("axes")
class OnlyTwoAxes(Bent):
    @classmethod
    def cases(cls) -> Iterable[Case]:
        yield Case("plain", (3, 4), options={"bend": 0.25})


@wrong("gradient-bottoms")
class WrongBottomGradient(Bent):
    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        super().backward(top, propagate_down, bottom)
        if propagate_down[0]:
            bottom[0].mutable_diff[...] *= 1.01


@wrong("gradient-params")
class WrongParameterGradient(Bent):
    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        super().backward(top, propagate_down, bottom)
        self.blobs[0].mutable_diff[...] *= 1.01


@wrong("accumulates")
class OverwritesParameterGradients(Bent):
    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        self.blobs[0].mutable_diff[...] = 0
        super().backward(top, propagate_down, bottom)


@wrong("propagate-down")
class IgnoresPropagateDown(Bent):
    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        super().backward(top, [True], bottom)


@wrong("bottoms-untouched")
class WritesItsBottom(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        bottom[0].mutable_data[...] *= 0.5
        super().forward(bottom, top)


@wrong("tops-read")
class ReadsItsTop(Bent):
    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        w, dy = self.blobs[0].data, top[0].diff
        self.blobs[0].mutable_diff[...] += (dy * top[0].data).sum() / w
        if propagate_down[0]:
            bottom[0].mutable_diff[...] = dy * w * (1 + 2 * self.options.bend * bottom[0].data)


@wrong("in-place")
class WrongInPlace(Bent):
    in_place = True


@wrong("precision")
class HalfPrecise(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        if top[0].dtype == np.float32:
            top[0].mutable_data[...] = top[0].data.astype("float16") * 1.01


@wrong("empty-batch")
class FailsOnEmptyBatches(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if not bottom[0].shape[0]:
            raise ZeroDivisionError


@wrong("reshape-idempotent")
class CountsReshapes(Bent):
    times = 0.0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().reshape(bottom, top)
        self.times += 1

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        top[0].mutable_data[...] += self.times


@wrong("reshape-follows")
class RemembersTheFirstBatch(Bent):
    first = 0

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.first = self.first or bottom[0].shape[0]
        super().forward(bottom, top)
        top[0].mutable_data[self.first :] = 0


@wrong("seeded")
class IgnoresTheSeed(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        top[0].mutable_data[...] += float(np.random.default_rng().uniform())


@wrong("resume")
class ForgetsItsState(Bent):
    keeps_state = True
    times = 0.0

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.times += 1
        super().forward(bottom, top)
        top[0].mutable_data[...] += self.times


@wrong("engines")
class DiffersOnAnEngine(Bent):
    pass


@wrong("not-finite")
class LosesNaNOnAnEngine(Bent):
    pass


@wrong("device")
class UsesNumpy(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = np.asarray(bottom[0].data)
        top[0].mutable_data[...] = self.xp.asarray(1.5 * (x + self.options.bend * x * x))


@wrong("capturable")
class ReadsItsParameter(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x = bottom[0].data
        top[0].mutable_data[...] = float(self.blobs[0].data[0]) * (x + self.options.bend * x * x)


@wrong("save-load")
class CachesItsParameter(Bent):
    cached: float | None = None

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.cached is None:
            self.cached = float(self.blobs[0].data[0])
        top[0].mutable_data[...] = self.cached * bottom[0].data


@wrong("no-growth")
class LeaksMemory(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.leaked = [*getattr(self, "leaked", []), np.ones(10_000)]
        super().forward(bottom, top)


class WrongRoutine(Routine):
    def forward(self) -> None:
        self.planned.tops[0].mutable_data[...] = self.planned.bottoms[0].data

    def backward(self) -> None:
        planned = self.planned
        self.layer.backward(list(planned.tops), list(planned.propagate_down), list(planned.bottoms))


class WrongEngine(Engine):
    name = "wrong"


@wrong("read-by-engines")
class ReadInSecret(Bent):
    secret = 1.0


class ReadingRoutine(WrongRoutine):
    def forward(self) -> None:
        self.planned.tops[0].mutable_data[...] = self.layer.secret * self.planned.bottoms[0].data


class LosingRoutine(WrongRoutine):
    def forward(self) -> None:
        self.layer.forward(list(self.planned.bottoms), list(self.planned.tops))
        y = self.planned.tops[0].mutable_data
        y[np.isnan(y)] = 0


ROUTINES = {DiffersOnAnEngine: WrongRoutine, LosesNaNOnAnEngine: LosingRoutine, ReadInSecret: ReadingRoutine}


class BentInOnnx:
    """A converter that is right for `Bent`."""

    @staticmethod
    def export(layer: Layer, context: Any) -> None:
        """Add the nodes of w (x + bend x²)."""
        x = context.bottoms[0]
        bent = context.add("Mul", [context.add("Mul", [x, x]), context.number(layer.options.bend)])
        context.add("Mul", [context.add("Add", [x, bent]), context.parameter(0)], context.tops)


@wrong("onnx")
class BentOtherwise(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        top[0].mutable_data[...] += 0.01


def run(check: str, layer: type[Any]) -> None:
    """Run one check on a layer class, on all its cases."""
    plugins = Registry()
    plugins.add("layer", "Bent", layer)
    if layer in ROUTINES:
        plugins.add("engine", "wrong", WrongEngine)
        plugins.add("engine.wrong", "Bent", ROUTINES[layer])
    if check == "onnx":
        plugins.add("onnx", "Bent", BentInOnnx)
    subject = Subject.of("Bent", plugins)
    selected = load_checks()[check]
    for case in subject.cases if selected.per_case else (None,):
        if selected.applies(subject, case) is None:
            selected.run(subject, case) if selected.per_case else selected.run(subject)


@pytest.mark.slow
@pytest.mark.parametrize("check", sorted(load_checks()))
def test_a_correct_layer_passes(check: str) -> None:
    run(check, Bent)


@pytest.mark.slow
@pytest.mark.parametrize("check", sorted(load_checks()))
def test_a_wrong_layer_is_caught(check: str) -> None:
    assert check in WRONG, f"add a layer that {check} must catch"
    with pytest.raises((CheckFailure, CafxError, ZeroDivisionError)):
        run(check, WRONG[check])


class ReadsButSaysSo(ReadsItsParameter):
    """A layer that reads a value on the host, and declares it."""

    capturable = False


class ShapeOfValues(Bent):
    dynamic_shape = True


class MakesAnArray(Bent):
    """A layer that brings values from the host in every pass."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        top[0].mutable_data[...] *= self.xp.asarray([1.0])[0]


class WritesOnTheHost(Bent):
    """A layer that computes on the host, where recorded work cannot follow."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].set_data(np.zeros(top[0].shape))


class Multiplies(Bent):
    """A layer that multiplies by ``@``, which no engine can put its own product behind."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        x = bottom[0].data.reshape(-1, bottom[0].shape[-1])
        x.T @ x


class Selects(Bent):
    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().forward(bottom, top)
        bottom[0].data[bottom[0].data > 0].sum()


@pytest.mark.parametrize("layer", [ShapeOfValues, MakesAnArray, WritesOnTheHost, Multiplies, Selects])
def test_what_recorded_work_cannot_contain_is_caught(layer: type[Any]) -> None:
    with pytest.raises(CheckFailure, match="capturable = False"):
        run("capturable", layer)


@pytest.mark.parametrize("check", ["capturable", "device"])
def test_a_layer_that_says_it_cannot_be_recorded_may_read_on_the_host(check: str) -> None:
    run(check, ReadsButSaysSo)


def test_every_check_has_a_wrong_layer() -> None:
    assert set(WRONG) == set(load_checks())
