"""InfogainLoss beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestInfogainLoss = layer_suite("InfogainLoss")


def test_the_legacy_option_normalize_is_refused_as_in_caffe() -> None:
    bottoms = [np.ones((2, 3)), np.zeros(2), np.eye(3)]
    with pytest.raises(CafxError, match="normalization: VALID"):
        run_layer("InfogainLoss", bottoms, layer={"loss_param": {"normalize": True}})
