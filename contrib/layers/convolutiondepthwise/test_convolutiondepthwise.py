"""ConvolutionDepthwise beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, registry

TestConvolutionDepthwise = layer_suite("ConvolutionDepthwise")

RNG = np.random.default_rng(8)
IMAGES, WEIGHTS = RNG.standard_normal((2, 16, 6, 7)), RNG.standard_normal((16, 1, 3, 3))


def run(engine: str = "numpy", **options: Any) -> Any:
    """One filter per channel."""
    options = {"kernel_size": [3], "stride": [2], "bias_term": False, **options}
    return run_layer("ConvolutionDepthwise", [IMAGES], options=options, params=[WEIGHTS], engine=engine)


@pytest.mark.parametrize("ignored", [{}, {"num_output": 5}, {"num_output": 32, "group": 4}])
def test_each_channel_is_convolved_with_its_filter(ignored: dict[str, Any]) -> None:
    y = run(**ignored).tops[0]
    assert y.shape == (2, 16, 2, 3)
    for n, c, i, j in np.ndindex(*y.shape):
        window = IMAGES[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        assert y[n, c, i, j] == pytest.approx((WEIGHTS[c, 0] * window).sum(), rel=1e-4, abs=1e-5)


def test_onednn_runs_it_depthwise() -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    found = run("onednn", num_output=5)
    step = found.net.program.parts[-1]
    assert step.run_by == "onednn"
    assert "dw" in step.routines[0].forward_desc.implementation
    np.testing.assert_allclose(found.tops[0], run().tops[0], rtol=1e-4, atol=1e-5)


def test_a_bottom_without_channels_is_refused() -> None:
    with pytest.raises(CafxError, match="no channels"):
        run_layer("ConvolutionDepthwise", [np.zeros((1, 0, 4, 4))], options={"kernel_size": [1]})
