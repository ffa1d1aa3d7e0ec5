"""Each check of the checklist of engines catches an engine that violates its requirement."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds.engine import BRANCHES, EngineCase
from cafx.kernel import CafxError, Engine
from cafx.kernel.net import Device, Program, Reference

CHECKS = load_checks("engine")
NAME = "correct"


class Correct(Engine):
    """Runs every layer as its author wrote it."""

    name = NAME
    priority = -7


WRONG: list[tuple[str, type[Any]]] = []


def wrong(check: str) -> Any:
    """Register an engine that ``check`` must catch."""

    def register(engine: type[Any]) -> type[Any]:
        engine.__doc__ = engine.__doc__ or Correct.__doc__
        WRONG.append((check, engine))
        return engine

    return register


class Doubled(Reference):
    """A layer whose tops are doubled."""

    def __init__(self, compilation: Any, planned: Any) -> None:
        super().__init__(compilation, planned)
        forward = self.forward

        def run() -> None:
            forward()
            for top in self.planned.tops:
                top.mutable_data[...] *= 2

        self.forward = run  # type: ignore[method-assign]


def doubling(layer: Any) -> bool:
    """Whether a layer is the one that is run wrongly."""
    return bool(layer.type in ("TanH", "Pooling"))


@wrong("entry-point")
class NoEngine:
    unavailable = Engine.unavailable


@wrong("docstring")
class Undocumented(Correct):
    """Runs."""


@wrong("cases")
class Twice(Correct):
    @classmethod
    def cases(cls) -> list[EngineCase]:
        return [EngineCase("branches", BRANCHES)] * 2


@wrong("name")
class Misnamed(Correct):
    name = "other"


@wrong("name")
class SamePriority(Correct):
    priority = 0


@wrong("name")
class Vague(Correct):
    priority: ClassVar[Any] = "high"


@wrong("unavailable")
class Raising(Correct):
    @classmethod
    def unavailable(cls) -> str | None:
        raise OSError("no such library")


@wrong("unavailable")
class Speechless(Correct):
    @classmethod
    def unavailable(cls) -> str | None:
        return ""


@wrong("precision")
class AnyPrecision(Correct):
    def __init__(self, plugins: Any, *, precision: str = "float32", **settings: Any) -> None:
        super().__init__(plugins, **settings)


@wrong("precision")
class Halves(Correct):
    precisions = ("bf16",)


@wrong("precision")
class Nameless(Correct):
    def __init__(self, plugins: Any, **settings: Any) -> None:
        try:
            super().__init__(plugins, **settings)
        except CafxError:
            raise CafxError("no") from None


@wrong("threads")
class OneThread(Correct):
    def __init__(self, plugins: Any, *, threads: int | None = None, **settings: Any) -> None:
        super().__init__(plugins, threads=1, **settings)


@wrong("devices")
class NoGPU(Correct):
    gpu = True


@wrong("devices")
class Devices(Correct):
    @classmethod
    def devices(cls) -> list[Device]:
        return [Device(0, "processor", 1, 1)]


@wrong("agrees")
class Doubling(Correct):
    def routine(self, compilation: Any, planned: Any) -> Any:
        return (Doubled if doubling(planned.layer) else Reference)(compilation, planned)


@wrong("reshape")
class OnlyFour(Correct):
    def routine(self, compilation: Any, planned: Any) -> Any:
        batch = planned.tops[0].shape[0] if planned.tops[0].shape else 4
        return (Doubled if doubling(planned.layer) and batch != 4 else Reference)(compilation, planned)


class Short(Program):
    """A program that leaves out the last layer of a range."""

    def forward(self, first: int, last: int, *rest: Any, **more: Any) -> Any:
        """Up to the layer before."""
        super().forward(first, last if last == len(self.parts) - 1 else last - 1, *rest, **more)
        return last


@wrong("ranges")
class Shortened(Correct):
    program = Short


@wrong("plan")
class Reshaping(Correct):
    def compile(self, plan: Any) -> Any:
        program = super().compile(plan)
        plan.layers[0].tops[0].reshape(1, 1)
        return program


@wrong("training")
class WithoutMomentum(Correct):
    def updater(self, rule: Any, options: Any, arena: Any) -> Any:
        options.momentum = 0
        return super().updater(rule, options, arena)


class Forgotten(Reference):
    """A layer that has no gradient unless this very routine has run forward."""

    def __init__(self, compilation: Any, planned: Any) -> None:
        super().__init__(compilation, planned)
        forward, backward, ran = self.forward, self.backward, []

        def run() -> None:
            forward()
            ran.append(True)

        self.forward = run  # type: ignore[method-assign]
        self.backward = lambda: backward() if ran else None  # type: ignore[method-assign]


@wrong("shapes-in-pass")
class Forgetting(Correct):
    def routine(self, compilation: Any, planned: Any) -> Any:
        kind = Forgotten if planned.layer.type == "Pooling" else Reference
        return kind(compilation, planned)


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "engine"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, engine: type[Any]) -> None:
    assert failures("engine", engine, check_id, name=NAME)


@pytest.mark.slow
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_engine_passes(check_id: str) -> None:
    assert failures("engine", Correct, check_id, name=NAME) == []


def test_an_engine_that_is_unavailable_is_not_run() -> None:
    class Elsewhere(Doubling):
        """Runs on another machine."""

        @classmethod
        def unavailable(cls) -> str | None:
            return "not this machine"

    assert failures("engine", Elsewhere, "agrees", name=NAME) == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)
