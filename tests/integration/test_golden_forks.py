"""Layers of forks match them on every golden case: outputs, losses, running statistics and gradients."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.conformance import cuda as standin
from cafx.conformance.golden import ABSOLUTE, RELATIVE, LayerCase, differs
from cafx.kernel import registry

GPU = [name for name in registry().names("engine") if registry().load("engine", name).gpu]
ENGINES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in GPU else [], id=name) for name in registry().names("engine")
]
MOVING = {"Permute", "ShuffleChannel", "Reorg", "Upsample", "ReLU6", "Input", "Pooling", "Concat", "Split"}
"""Layers that move values or cut them off: a net of these gives the fork's results exactly."""
ADDING = {"Upsample"}
"""Of these, layers whose gradients are sums."""
COARSE = {"BN"}
COARSE_RELATIVE = 1e-3
"""Tolerance of gradients that are divided by a small variance."""


class ForkCase(LayerCase):
    """A golden case of a fork's layer, with the tolerances that the data's README states."""

    def tolerances(self, key: str) -> tuple[float, float]:
        """Relative and absolute tolerance of the value at a key."""
        gradient = key.startswith(("indiff/", "paramdiff/"))
        if self.types <= MOVING and not (gradient and self.types & ADDING):
            return 0.0, 0.0
        return (COARSE_RELATIVE if gradient and self.types & COARSE else RELATIVE), ABSOLUTE

    def compare(self, key: str, result: Any, expected: npt.ArrayLike | None = None) -> None:
        """Record a difference beyond the tolerance."""
        difference = differs(result, self.values[key] if expected is None else expected, *self.tolerances(key))
        if difference:
            self.wrong.append(f"{key}: {difference}")


@pytest.mark.slow
@pytest.mark.shared_files("golden_forks/layers/*.npz")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_layer_matches_its_fork(shared_file: Path, engine: str) -> None:
    found = registry().load("engine", engine)
    on_standin = found.gpu and found.unavailable() is not None
    reason = standin.available() if on_standin else found.unavailable()
    if reason:
        pytest.skip(f"engine {engine}: {reason}")
    case = ForkCase(shared_file)
    missing = case.types - set(registry().names("layer"))
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    with standin.installed() if on_standin else nullcontext():
        assert case.replay(engine=engine) == []


@pytest.mark.shared_files("golden_forks/layers/ReLU6_00_plain.npz")
def test_a_layer_that_moves_values_is_held_to_them_exactly(shared_file: Path) -> None:
    case = ForkCase(shared_file)
    case.values["out/y"] = np.nextafter(case.values["out/y"], np.float32(9))
    assert case.replay(engine="numpy")
