"""LRN across channels by kernels of our own: any odd number of channels, the layouts of convolutions, NaN."""

from __future__ import annotations

import numpy as np
import pytest

from cafx.kernel import TEST, TRAIN, Net, Phase, registry, schema
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason=str(OneDNN.unavailable()))

NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: {channels} dim: 5 dim: 7 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {{
  num_output: {channels} kernel_size: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "l" type: "LRN" bottom: "c" top: "y" lrn_param {{ {options} }} }}
layer {{ name: "s" type: "Reduction" bottom: "y" top: "s" reduction_param {{ operation: SUMSQ }} loss_weight: 1 }}"""


def results(channels: int, options: str, engine: OneDNN | str, phase: Phase = TRAIN) -> tuple[list[np.ndarray], bool]:
    """y and the gradients of the convolution, and whether our kernels have computed them."""
    text = NET.format(channels=channels, options=options)
    x = np.random.default_rng(0).standard_normal((2, channels, 5, 7)).astype(np.float32)
    with Net(schema().parse_text(text, "NetParameter"), phase, engine=engine, seed=1) as net:
        for _ in range(2):
            net.clear_param_diffs()
            net.blobs["x"].set_data(x)
            net.run_forward()
            if phase is TRAIN:
                net.run_backward()
        (routine,) = next(part for part in net.program.parts if part.name == "l").routines
        diffs = [each.host_diff() for each in net.params["c"]] if phase is TRAIN else []
        return [net.blobs["y"].host(), *diffs], getattr(routine, "response", None) is not None


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("channels", [5, 16, 20, 48])
@pytest.mark.parametrize(
    "options",
    [
        "local_size: 3 alpha: 2",
        "local_size: 7 alpha: 3 beta: 0.5",
        "local_size: 9 beta: 1 k: 2",
        "local_size: 33 alpha: -0.1 k: 3",
    ],
)
def test_values_and_gradients_are_numpy_s(channels: int, options: str, phase: Phase) -> None:
    (found, _), (expected, _) = (results(channels, options, engine, phase) for engine in ("onednn", "numpy"))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize(
    ("channels", "options", "ours"),
    [
        (32, "local_size: 3", True),
        (20, "local_size: 7", True),  # oneDNN's gradient is wrong there
        (32, "local_size: 5", False),
        (20, "local_size: 35", False),
        (32, "local_size: 3 beta: 0.6", False),
        (32, "local_size: 3 norm_region: WITHIN_CHANNEL", False),
    ],
)
def test_kernels_are_used_where_there_are_some_and_primitives_are_not_fast(
    channels: int, options: str, ours: bool
) -> None:
    (found, used), (expected, _) = (results(channels, options, engine) for engine in ("onednn", "numpy"))
    assert used is ours
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [16, 17, 31])
def test_what_is_not_finite_reaches_its_neighbourhood_alone(channels: int, spoilt: float) -> None:
    text = f"""
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: {channels} dim: 5 dim: 7 }} }} }}
    layer {{ name: "l" type: "LRN" bottom: "x" top: "y" lrn_param {{ local_size: 7 alpha: 2 }} }}"""
    x, found = np.random.default_rng(0).standard_normal((2, channels, 5, 7)).astype(np.float32), []
    x[1, channels - 4, 2, 3] = spoilt
    for engine in ("onednn", "numpy"):
        with Net(schema().parse_text(text, "NetParameter"), TRAIN, engine=engine) as net, np.errstate(invalid="ignore"):
            net.blobs["x"].set_data(x)
            net.run_forward()
            (routine,) = net.program.parts[-1].routines
            assert engine == "numpy" or routine.response is not None
            found.append(net.blobs["y"].host())
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)
    assert np.isnan(found[0]).sum() == (7 if np.isnan(spoilt) else 1)


def test_bfloat16_is_read_and_written() -> None:
    from cafx_engine_onednn.api.library import load

    if not load().has_bf16:
        pytest.skip("the processor has no bfloat16")
    engine = OneDNN(registry(), precision="bf16")
    (found, used), (expected, _) = (results(32, "local_size: 3 alpha: 2", each) for each in (engine, "numpy"))
    assert used
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.05, atol=0.05 * np.abs(other).max())
