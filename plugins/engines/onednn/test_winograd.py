"""Winograd convolutions: their algebra, every pass against the NumPy engine, and when they are used."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cafx.conformance.nets import assert_all_near, assert_near, feed, net_of_text, run_passes
from cafx.kernel import Phase
from cafx_engine_onednn import OneDNN, native
from cafx_engine_onednn.api.library import Library, load
from cafx_engine_onednn.api.memory import Memory
from cafx_engine_onednn.winograd import matrices

convolution = pytest.importorskip("cafx_engine_onednn.winograd.convolution", exc_type=ImportError)
correlation = pytest.importorskip("cafx_engine_onednn.winograd.correlation", exc_type=ImportError)
builder = pytest.importorskip("cafx_engine_onednn.winograd.builder", exc_type=ImportError)
REASON = OneDNN.unavailable() or native.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"{REASON}")
WinogradConvolution = convolution.WinogradConvolution
TOLERANCE = 2e-5
"""Relative to the largest value: float32 rounding errors in the transforms."""

SCHEMES = {
    f"F({s.outputs}, {s.taps}), {s.points} points": s
    for table in (matrices.FORWARD, matrices.BACKWARD_DATA, matrices.BACKWARD_WEIGHTS)
    for schemes in table.values()
    for s in schemes
}


@pytest.fixture
def always_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use Winograd wherever it is possible, faster or not."""
    monkeypatch.setattr(WinogradConvolution, "is_faster", lambda self, training: True)


every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def array(rows: matrices.Matrix) -> np.ndarray:
    return np.array([[float(value) for value in row] for row in rows])


@every_scheme
def test_a_scheme_correlates_with_fewer_products(scheme: matrices.Scheme) -> None:
    rng = np.random.default_rng(0)
    values, taps = rng.standard_normal(scheme.inputs), rng.standard_normal(scheme.taps)
    products = (array(scheme.input_transform) @ values) * (array(scheme.filter_transform) @ taps)
    assert products.size < scheme.outputs * scheme.taps
    np.testing.assert_allclose(array(scheme.output_transform) @ products, np.correlate(values, taps), atol=1e-12)


@every_scheme
def test_the_unit_point_contributes_to_every_output(scheme: matrices.Scheme) -> None:
    column = array(scheme.output_transform)[:, scheme.unit_point]
    np.testing.assert_array_equal(column, np.ones(scheme.outputs))


@pytest.mark.parametrize(("size", "outputs"), [(7, 4), (13, 5), (28, 6)])
def test_the_scheme_with_the_fewest_products_is_selected(size: int, outputs: int) -> None:
    assert matrices.fewest_products(matrices.BACKWARD_WEIGHTS[3], size, size).outputs == outputs


@attrs.frozen
class Case:
    """A convolution to test.

    Attributes:
        slope: negative slope of a ReLU after the convolution; None for no ReLU.
        learns: whether weights and bias have gradients.
        thread_bytes, shared_bytes: memory for tiles, which decides how many are transformed at a time.
        own_panels: whether threads transform and use their own panels of the filters.
    """

    images: int
    inputs: int
    outputs: int
    size: tuple[int, int]
    taps: int
    pad: int
    group: int
    slope: float | None
    learns: tuple[bool, bool]
    thread_bytes: int
    shared_bytes: int
    own_panels: bool = False

    def text(self) -> str:
        """A net with the convolution between two other layers."""
        height, width = self.size
        rates = " ".join(f"param {{ lr_mult: {int(learns)} }}" for learns in self.learns)
        relu = f"relu_param {{ negative_slope: {self.slope} }}"
        return f"""
        layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{
          dim: {self.images} dim: {self.inputs} dim: {height} dim: {width} }} }} }}
        layer {{ name: "pre" type: "Convolution" bottom: "data" top: "pre" convolution_param {{
          num_output: {self.inputs} kernel_size: 1 weight_filler {{ type: "msra" }} }} }}
        layer {{ name: "conv" type: "Convolution" bottom: "pre" top: "conv" {rates} convolution_param {{
          num_output: {self.outputs} kernel_size: {self.taps} pad: {self.pad} group: {self.group}
          weight_filler {{ type: "msra" }} bias_filler {{ type: "gaussian" std: 1 }} }} }}
        {f'layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" {relu} }}' if self.slope is not None else ""}
        layer {{ name: "loss" type: "Reduction" bottom: "conv" top: "loss" loss_weight: 0.1
          reduction_param {{ operation: SUMSQ }} }}"""


def multiples_of_16(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most).map(lambda count: 16 * count)


convolutions = st.builds(
    Case,
    images=st.integers(1, 5),
    inputs=multiples_of_16(3),
    outputs=multiples_of_16(6),
    size=st.tuples(st.integers(5, 15), st.integers(5, 15)),
    taps=st.sampled_from([3, 5]),
    pad=st.integers(0, 4),
    group=st.just(1),
    slope=st.sampled_from([None, 0.0, 0.1]),
    learns=st.tuples(st.booleans(), st.booleans()),
    thread_bytes=st.sampled_from([1 << 14, 1 << 17, 4 << 20]),
    shared_bytes=st.sampled_from([1 << 14, 4 << 20]),
    own_panels=st.booleans(),
)
padded = st.builds(
    lambda c, inputs, outputs: attrs.evolve(c, inputs=c.inputs - inputs, outputs=c.outputs - outputs),
    convolutions,
    st.integers(1, 5),
    st.integers(1, 5),
)
grouped = convolutions.map(lambda c: attrs.evolve(c, group=2, inputs=2 * c.inputs, outputs=2 * c.outputs))


def run(case: Case, engine: str) -> dict[str, Any]:
    """Values and accumulated gradients after two forward and backward passes."""
    net = net_of_text(case.text(), engine=engine, seed=1)
    feed(net)
    run_passes(net, 2, accumulate=True)
    if engine == "onednn":
        used = [getattr(step.routines[0], "winograd", None) for step in net.program.parts if step.name == "conv"]
        if not any(used):
            return {}  # a few geometries have no direct primitive for blocked layouts
    results = {"top": net.blobs["conv"].host(), "bottom": net.blobs["pre"].host_diff()}
    return results | {f"parameter {i}": blob.host_diff() for i, blob in enumerate(net.params["conv"])}


@pytest.mark.parametrize("cases", [convolutions, padded, grouped], ids=["whole", "padded", "grouped"])
@pytest.mark.parametrize("count", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_every_pass_matches_numpy(
    cases: st.SearchStrategy[Case], count: int, always_winograd: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    @settings(max_examples=count, deadline=None, database=None)
    @given(cases)
    def check(case: Case) -> None:
        monkeypatch.setattr(correlation, "THREAD_BYTES", case.thread_bytes)
        monkeypatch.setattr(builder, "SHARED_BYTES", case.shared_bytes)
        monkeypatch.setattr(correlation, "SHARED_BYTES", case.shared_bytes)
        monkeypatch.setattr(builder, "LEAST_FILTERS", 0 if case.own_panels else 1 << 40)
        monkeypatch.setattr(builder, "PANELS_PER_THREAD", 1)
        results, expected = run(case, "onednn"), run(case, "numpy")
        assume(results)
        assert_all_near(results, expected, TOLERANCE)

    check()


def test_batch_normalisation_is_folded_into_the_filters(always_winograd: None) -> None:
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 16 dim: 9 dim: 10 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
      num_output: 32 kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "msra" } } }
    layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
    layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
    layer { name: "unit" type: "ReLU" bottom: "conv" top: "conv" }"""
    rng = np.random.default_rng(3)
    data, mean, variance, bias = rng.standard_normal((2, 16, 9, 10), np.float32), *rng.random((3, 32), np.float32)
    results = []
    for engine in ("numpy", "onednn"):
        net = net_of_text(text, Phase.TEST, engine=engine, seed=1, keep="outputs")
        for blob, value in zip(net.params["norm"], (mean, variance + 0.5, [1.0]), strict=True):
            blob.mutable_data[...] = value
        net.params["scale"][1].mutable_data[...] = bias
        results.append(net.forward(data=data)["conv"].copy())
    assert net.program.steps[-1].note == "fused: normalisation folded into the weights; Winograd"
    expected, result = results
    assert_near(result, expected, TOLERANCE)


KEPT = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 20 dim: 9 dim: 10 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
  num_output: 40 kernel_size: {taps} pad: 1 weight_filler {{ type: "msra" }} bias_filler {{ type: "uniform" }} }} }}"""


def inference(text: str, engine: str) -> Any:
    """A net without backward pass."""
    return net_of_text(text, Phase.TEST, engine=engine, seed=1, keep="outputs")


@pytest.mark.parametrize("taps", [3, 5])
def test_inference_transforms_filters_again_when_a_parameter_changes(taps: int, always_winograd: None) -> None:
    rng = np.random.default_rng(2)
    data = rng.standard_normal((2, 20, 9, 10), np.float32)
    nets = [inference(KEPT.format(taps=taps), each) for each in ("numpy", "onednn")]
    assert nets[1].program.steps[-1].note == "Winograd"
    for changed in (None, 0, 1):
        if changed is not None:
            values = rng.standard_normal(nets[0].params["conv"][changed].shape)
            for net in nets:
                net.params["conv"][changed].set_data(values)
        expected, result, again = (net.forward(data=data)["conv"] for net in (*nets, nets[1]))
        assert_near(result, expected, TOLERANCE)
        np.testing.assert_array_equal(result, again)


def test_nets_that_share_weights_share_their_transformed_filters(always_winograd: None) -> None:
    rng = np.random.default_rng(2)
    first, second, apart = (inference(KEPT.format(taps=3), "onednn") for _ in range(3))
    second.share_with(first)
    data = rng.standard_normal((2, 20, 9, 10), np.float32)
    for net in (first, second, apart):
        net.forward(data=data)
    kept = [list(net.program.steps[-1].routines[0].build._kept) for net in (first, second, apart)]
    shapes = [sorted(each.desc.size for each in memories) for memories in kept]
    assert shapes[0] == shapes[1] == shapes[2] != []
    assert set(kept[0]) == set(kept[1])
    assert not set(kept[0]) & set(kept[2])
    first.params["conv"][0].set_data(rng.standard_normal((40, 20, 3, 3)))
    for net in (second, first, second):
        expected = inference(KEPT.format(taps=3), "numpy")
        expected.share_with(first)
        assert_near(net.forward(data=data)["conv"], expected.forward(data=data)["conv"], TOLERANCE)


def test_folded_filters_are_transformed_again_when_the_normalisation_changes(always_winograd: None) -> None:
    text = (
        KEPT.format(taps=3)
        + """
    layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }"""
    )
    rng = np.random.default_rng(4)
    data = rng.standard_normal((2, 20, 9, 10), np.float32)
    nets = [inference(text, each) for each in ("numpy", "onednn")]
    for _ in range(2):
        statistics = rng.random(40), rng.random(40) + 0.5, [1.0]
        for net in nets:
            for blob, values in zip(net.params["norm"], statistics, strict=True):
                blob.set_data(values)
        expected, result = (net.forward(data=data)["conv"] for net in nets)
        assert_near(result, expected, TOLERANCE)


def no_scratch(name: str, count: int) -> Memory:
    raise AssertionError("the estimate allocates memory")


@pytest.mark.parametrize(
    ("images", "inputs", "outputs", "size", "taps", "expected"),
    [
        (4, 256, 256, 56, 3, True),
        (4, 512, 512, 28, 3, True),
        (8, 64, 64, 56, 3, True),
        (8, 512, 512, 7, 3, True),
        (1, 512, 512, 7, 3, False),  # too few tiles per weight
        (8, 8, 16, 56, 3, True),  # few channels
        (32, 48, 128, 27, 5, True),
        (64, 20, 50, 8, 5, True),  # LeNet: partly filled blocks
        (64, 20, 50, 4, 3, False),  # too small to compile kernels for
    ],
)
def test_winograd_is_used_where_it_is_faster(
    images: int, inputs: int, outputs: int, size: int, taps: int, expected: bool
) -> None:
    shapes = (images, inputs, size, size), (images, outputs, size, size)
    pad = taps // 2, taps // 2
    candidate = WinogradConvolution(*shapes, taps, pad, group=1, threads=1, bfloat16=False, scratch=no_scratch)
    assert candidate.is_faster(training=True) is expected


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "taps", "scheme"),
    [(64, 64, 56, 3, 4), (256, 256, 14, 3, 2), (512, 512, 7, 3, None), (48, 128, 27, 5, 4), (20, 50, 4, 3, None)],
)
def test_single_images_use_it_where_filters_are_kept(
    inputs: int, outputs: int, size: int, taps: int, scheme: int | None
) -> None:
    shapes, pad = ((1, inputs, size, size), (1, outputs, size, size)), (taps // 2, taps // 2)
    provided = {"scratch": no_scratch, "keep": lambda *_: None}
    candidate = WinogradConvolution(*shapes, taps, pad, group=1, threads=1, bfloat16=False, **provided)
    assert candidate.is_faster(training=False) is (scheme is not None)
    assert scheme in (None, candidate.forward_scheme.outputs)


@pytest.mark.parametrize("more", ["stride: 2", "dilation: 2", "pad: 3", "kernel_h: 5 kernel_w: 3"])
def test_other_geometries_run_direct(more: str, always_winograd: None) -> None:
    text = f"""
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 16 dim: 9 dim: 9 }} }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
      num_output: 16 {"" if "kernel" in more else "kernel_size: 3"} {more} weight_filler {{ type: "msra" }} }} }}"""
    net = net_of_text(text, engine="onednn", seed=1)
    assert net.program.steps[-1].routines[0].winograd is None
    assert not net.program.steps[-1].note


def test_without_a_compiler_convolutions_run_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "unavailable", lambda: "llvmlite cannot be loaded")
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 8 dim: 64 dim: 56 dim: 56 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
      num_output: 64 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }"""
    net = net_of_text(text, engine="onednn", seed=1)
    assert net.program.steps[-1].run_by == "onednn"
    assert net.program.steps[-1].routines[0].winograd is None


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_threads(always_winograd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(3, 32, 48, (13, 11), 3, 1, 1, 0.0, (True, True), 1 << 17, 1 << 17)
    results = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(run(case, "onednn"))
    for other in results[1:]:
        assert_all_near(other, results[0], 0)


needs_bf16 = pytest.mark.skipif(bool(REASON) or not load().has_bf16, reason="no bfloat16 arithmetic")
BF16_TOLERANCE = 0.01
"""Relative to the largest value: values are rounded to eight bits twice."""


@needs_bf16
@pytest.mark.parametrize(
    ("taps", "inputs", "outputs", "slope"), [(3, 32, 48, 0.0), (3, 20, 40, None), (5, 32, 32, 0.1)]
)
def test_bfloat16_activations_are_supported(
    taps: int, inputs: int, outputs: int, slope: float | None, always_winograd: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "has_amx", False)
    monkeypatch.setenv("CAFX_PRECISION", "bf16")
    case = Case(2, inputs, outputs, (11, 9), taps, 1, 1, slope, (True, True), 1 << 20, 1 << 20)
    results = run(case, "onednn")
    monkeypatch.delenv("CAFX_PRECISION")
    expected = run(case, "numpy")
    assert results
    assert_all_near(results, expected, BF16_TOLERANCE)


@needs_bf16
def test_bfloat16_convolutions_run_direct_on_processors_with_amx(
    always_winograd: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "has_amx", True)
    monkeypatch.setenv("CAFX_PRECISION", "bf16")
    assert not run(Case(2, 32, 32, (11, 9), 3, 1, 1, None, (True, True), 1 << 20, 1 << 20), "onednn")
