"""Each check of the checklist of fillers catches a filler that violates its requirement."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds.filler import FillerCase
from cafx.kernel import CafxError, Filler
from cafx_lib_filler import draw_in_chunks

CHECKS = load_checks("filler")
Array = Any
Shape = tuple[int, ...]
SPREAD = {"mean": 0.0, "variance": 0.25 / 3, "low": -0.5, "high": 0.5}


class Centred(Filler):
    """A correct filler: values are drawn from U(−std / 2, std / 2)."""

    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Independent draws."""
        if not self.options.std > 0:
            raise CafxError("filler 'centred'", found=f"std: {self.options.std}")
        half = self.options.std / 2
        return draw_in_chunks(lambda count: rng.uniform(-half, half, count), shape)

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """One that is accepted, one that is refused."""
        yield FillerCase("one", {"std": 1.0}, (100, 200), **SPREAD)
        yield FillerCase("none", {"std": 0.0}, error="std")


class Counting(Filler):
    """A correct filler that draws nothing: 0, 1, 2, …"""

    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Count."""
        return np.arange(math.prod(shape), dtype=np.float64).reshape(shape)

    @classmethod
    def cases(cls) -> Iterable[FillerCase]:
        """Four values."""
        yield FillerCase("four", shape=(2, 2), values=[[0, 1], [2, 3]], low=0, high=3)


WRONG: list[tuple[str, type[Any]]] = []


def wrong(*checks: str) -> Any:
    """Register a filler that each of the checks must catch."""

    def register(filler: type[Any]) -> type[Any]:
        filler.__doc__ = filler.__doc__ or Centred.__doc__
        WRONG.extend((check, filler) for check in checks)
        return filler

    return register


def cases(*given: FillerCase) -> Any:
    return classmethod(lambda cls: given)


@wrong("entry-point")
class NoFiller:
    takes_sparse = False
    cases = cases()


@wrong("docstring")
class Undocumented(Centred):
    """Centred."""


@wrong("cases")
class WithoutCases(Centred):
    cases = cases()


@wrong("values", "support")
class Shifted(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return super().fill(shape, rng) + 0.05


@wrong("values", "support")
class Wide(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return 1.1 * super().fill(shape, rng)


@wrong("values")
class Repeated(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return np.broadcast_to(super().fill((*shape[:-1], 1), rng), shape) if shape else super().fill(shape, rng)


@wrong("values")
class FromOne(Counting):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return super().fill(shape, rng) + 1


@wrong("shapes")
class Flat(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return super().fill(shape, rng).reshape(-1)


@wrong("values")
class FewValues(Centred):
    cases = cases(FillerCase("few", {"std": 1.0}, (10, 20), **SPREAD))


@wrong("values")
class NothingExpected(Centred):
    cases = cases(FillerCase("one", {"std": 1.0}))


@wrong("seeds", "stateless")
class Global(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        half = self.options.std / 2
        return draw_in_chunks(lambda count: np.array([random.uniform(-half, half) for _ in range(count)]), shape)


@wrong("seeds", "stateless")
class GlobalOfNumPy(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return np.random.uniform(-0.5, 0.5, shape)


@wrong("seeds")
class OwnSeed(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return super().fill(shape, np.random.default_rng(3))


@wrong("stateless")
class Growing(Centred):
    filled = 0

    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        self.filled += 1
        return super().fill(shape, rng)


@wrong("shapes")
class Matrices(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return super().fill((shape[0], math.prod(shape[1:])), rng)


@wrong("shapes")
class Unnamed(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        if len(shape) != 2:
            raise CafxError("cannot fill this")
        return super().fill(shape, rng)


@wrong("finite")
class Whole(Counting):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return super().fill(shape, rng).astype(int)


@wrong("finite")
class TooLarge(Counting):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return super().fill(shape, rng) * 1e100


@wrong("chunks")
class ByChunk(Centred):
    def fill(self, shape: Shape, rng: np.random.Generator) -> Array:
        return draw_in_chunks(lambda count: rng.uniform(-0.5, 0.5, count)[::-1], shape)


@wrong("options-documented")
class Undescribed(Centred):
    """Values are drawn from U(−s / 2, s / 2)."""


@wrong("refused")
class Lenient(Centred):
    def __init__(self, options: Any) -> None:
        self.options = options


@wrong("refused")
class Unclear(Centred):
    cases = cases(FillerCase("none", {"std": 0.0}, error="mean"))


@wrong("refused")
class Accepting(Centred):
    cases = cases(FillerCase("one", {"std": 1.0}, error="std"))


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "filler"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, filler: type[Any]) -> None:
    assert failures("filler", filler, check_id, name="centred")


@pytest.mark.parametrize("filler", [Centred, Counting])
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_filler_passes(check_id: str, filler: type[Any]) -> None:
    assert failures("filler", filler, check_id, name="centred") == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)
