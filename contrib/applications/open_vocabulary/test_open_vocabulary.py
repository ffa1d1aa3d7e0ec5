"""Open vocabulary: the programs and the prototxts agree, hedged answers inform, and the estimate follows from rates."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
BENCHMARKS = HERE.parents[2] / "tests/benchmarks"
BITS = 13.3


def test_the_programs_emit_the_prototxts(application: Any) -> None:
    application.pretend_data(*(f"{each}_{phase}_lmdb" for each in ("known", "open") for phase in ("train", "test")))
    application.emits("net.py", "train_test.prototxt", "solver.prototxt")
    application.emits("known.py", "known_train_test.prototxt", "known_solver.prototxt")


def test_the_estimate_uses_the_model_of_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    scale = runpy.run_path(str(BENCHMARKS / "scale.py"))
    sys.modules.pop("models", None)
    estimate = runpy.run_path(str(HERE / "estimate.py"))
    for seconds, nbytes in ((1.5, 4e8), (0.05, 1e8)):
        table = scale["predicted"](seconds, nbytes)
        for network, row in table.items():
            for machines, share in row.items():
                assert estimate["efficiency"](machines, seconds, nbytes, network) == pytest.approx(share)


def test_the_estimate_prints_what_the_rates_say(application: Any) -> None:
    figures = {"batch": 16, "seconds, 10,000 classes": 2.0, "gradients MB, 10,000 classes": 400}
    (application.folder / "given.json").write_text(json.dumps(figures))
    given = ("--figures", "given.json", "--images", "1e6", "--epochs", "2", "--convert", "100", "--network", "1000")
    lines = application.python("estimate.py", *given).splitlines()
    assert lines[0].startswith("1,000,000 images take 0.20 TB")
    assert lines[1].startswith("a machine trains on 8.0 images/s and converts 100/s")
    alone, *_, many = (line.split() for line in lines[-5:])
    assert alone == ["1", "1.00", "2.78", "2.89"]  # 1e6 / 100 / 3600 hours, 2e6 / 8 / 86400 days
    assert [many[0], many[2]] == ["64", "0.04"]
    assert float(many[3]) == pytest.approx(2e6 / 8 / 86_400 / 64, abs=0.006)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_hedges_and_measures(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["right, target 80%"] >= 0.55
    assert figures["bits of 13.3, target 80%"] >= 0.3  # a net that has learned nothing can only answer "????", 0 bits
    assert figures["last layer MB, 10,000 classes"] == pytest.approx(10 * figures["last layer MB, 1,000 classes"])
    assert figures["peak MB, 10,000 classes"] > figures["peak MB, 1,000 classes"] + 100
    application.has_picture("open_vocabulary.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["accuracy, 1,000 classes"] >= 0.5
    assert figures["accuracy, 10,000 classes"] >= 0.35
    assert figures["right, target 95%"] >= 0.93
    assert figures["bits of 13.3, target 95%"] >= BITS / 3
    application.has_picture("open_vocabulary.png")
    assert "machines" in application.python("estimate.py")
