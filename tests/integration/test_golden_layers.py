"""Layers match Caffe on every golden case: outputs, losses, running statistics and gradients."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from cafx.conformance import cuda as standin
from cafx.conformance.golden import LayerCase
from cafx.kernel import registry

ENGINES = registry().names("engine")


@pytest.mark.slow
@pytest.mark.shared_files("golden/layers/*.npz")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_layer_matches_caffe(shared_file: Path, engine: str) -> None:
    found = registry().load("engine", engine)
    on_standin = found.gpu and found.unavailable() is not None
    reason = standin.available() if on_standin else found.unavailable()
    if reason:
        pytest.skip(f"engine {engine}: {reason}")
    case = LayerCase(shared_file)
    missing = case.types - set(registry().names("layer"))
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}")
    with standin.installed() if on_standin else nullcontext():
        assert case.replay(engine=engine) == []
