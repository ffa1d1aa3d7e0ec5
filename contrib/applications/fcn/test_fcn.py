"""FCN: programs and prototxts agree, each net starts where the one before ended, and finer strides are better."""

from __future__ import annotations

from typing import Any

import pytest

PREFIXES = {"net.py": "", "fcn16s.py": "fcn16s_", "fcn8s.py": "fcn8s_"}
DATABASES = [f"{phase}_{what}_lmdb" for phase in ("train", "test") for what in ("images", "labels")]
SIMILAR = 0.99
TRANSPLANT = """
import numpy as np
from net import deployed
from run import transplant
from cafx.kernel import TEST, Net

picture = np.random.default_rng(1).standard_normal((1, 3, 160, 200))
nets = [Net(deployed(stride, 160, 200), TEST, seed=1) for stride in (32, 16, 8)]
weights = nets[0].params["score_fr"][0]
weights.set_data(np.random.default_rng(2).standard_normal(weights.shape))
scores = [nets[0].forward(data=picture)["score"].ravel().copy()]
for before, net in zip(nets, nets[1:]):
    transplant(before, net)
    scores.append(net.forward(data=picture)["score"].ravel().copy())
print(*np.corrcoef(scores)[0, 1:])
"""


@pytest.mark.parametrize(
    "program", ["net.py", *(pytest.param(each, marks=pytest.mark.slow) for each in ("fcn16s.py", "fcn8s.py"))]
)
def test_the_program_emits_the_prototxt(application: Any, program: str) -> None:
    application.pretend_data(*DATABASES)
    application.emits(program, f"{PREFIXES[program]}train_test.prototxt", f"{PREFIXES[program]}solver.prototxt")


@pytest.mark.slow
def test_a_transplanted_net_answers_as_the_one_before(application: Any) -> None:
    """Enlarging twice by interpolation is nearly enlarging once, if all maps are aligned."""
    application.pretend_data(*DATABASES)
    alike = [float(word) for word in application.python("-c", TRANSPLANT).split()]
    assert len(alike) == 2
    assert min(alike) >= SIMILAR


@pytest.mark.slow
@pytest.mark.usefixtures("needs_data")
def test_a_miniature_tells_objects_from_background(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["mean IU, 8s"] >= 0.18  # 0.14 if all is background
    assert figures["mean IU, 8s"] > figures["mean IU, 32s"]
    application.has_picture("fcn.png")


@pytest.mark.long
@pytest.mark.usefixtures("needs_data")
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["mean IU, 32s"] < figures["mean IU, 16s"] < figures["mean IU, 8s"]
    assert figures["mean IU, 8s"] >= 0.75
    application.has_picture("fcn.png")
