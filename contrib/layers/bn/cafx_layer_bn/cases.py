"""Cases of BN for the conformance suite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Phase

if TYPE_CHECKING:
    from cafx.conformance import Case

NOT_THE_DERIVATIVE = "as in the fork, the gradient is that through a batch's statistics, which TEST phase does not use"
NOT_TRAINED = "a solver does not train these parameters, which have no gradients"
FILLER = {"type": "uniform", "min": 0.5, "max": 2}


def cases() -> Iterable[Case]:
    """PSPNet's and SegNet's layer in both phases, with two to five axes."""
    from cafx.conformance import Case, normal

    def positive(rng: Any, shape: Any) -> Any:
        return rng.uniform(0.5, 2.0, shape)

    pspnet = {"slope_filler": FILLER, "bias_filler": FILLER}
    segnet = {"scale_filler": FILLER, "shift_filler": FILLER}
    statistics = {2: positive, 3: positive}
    yield Case("images", normal((3, 2, 4, 5), 2.0, 1.0), options=pspnet)
    yield Case("rows", (6, 3), options={**pspnet, "momentum": 0.7, "eps": 0.01, "engine": "CAFFE"})
    skip = {"gradient-params": NOT_TRAINED}
    test = {**skip, "gradient-bottoms": NOT_THE_DERIVATIVE}
    yield Case("running", (3, 2, 4), options=pspnet, params=statistics, phase=Phase.TEST, skip=test)
    frozen = {**pspnet, "frozen": True}
    yield Case("frozen", (3, 2, 2, 1, 3), options=frozen, params=statistics, skip=skip)
    yield Case("frozen_in_test", (3, 2, 4, 1), options=frozen, params=statistics, phase=Phase.TEST, skip=skip)
    yield Case("learn", normal((3, 2, 4, 5), 2.0, 1.0), options=segnet)
    yield Case("learn_in_test", (5, 3), options={**segnet, "bn_mode": "LEARN"}, phase=Phase.TEST)
    yield Case("inference", (2, 3, 4, 2), options={**segnet, "bn_mode": "INFERENCE"}, phase=Phase.TEST)
    yield Case("mean", (3, 2, 4), options=segnet, tops=2, layer={"loss_weight": [1.0, 0.0]})
    yield Case("mean_and_variance", (3, 2, 4), options=segnet, tops=3, layer={"loss_weight": [1.0, 0.0, 0.0]})
