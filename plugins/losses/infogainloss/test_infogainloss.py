"""What the shared suite cannot know of InfogainLoss."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError

TestInfogainLoss = layer_suite("InfogainLoss")


def test_the_old_way_to_normalise_is_refused_as_caffe_does() -> None:
    bottoms = [np.ones((2, 3)), np.zeros(2), np.eye(3)]
    with pytest.raises(CafxError, match="normalization: VALID"):
        run_layer("InfogainLoss", bottoms, layer={"loss_param": {"normalize": True}})
