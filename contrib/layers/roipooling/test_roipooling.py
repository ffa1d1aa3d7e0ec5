"""ROIPooling beyond the conformance suite."""

import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite, run_layer
from cafx.kernel import TEST, TRAIN, CafxError, Net, Phase, registry, schema

TestROIPooling = layer_suite("ROIPooling")
TestRoutine = plugin_suite("engine.onednn", "ROIPooling")
INVALID_BATCH = "a region's image is not in the batch"


def by_loops(x: np.ndarray, regions: np.ndarray, rows: int, columns: int, scale: float) -> tuple[np.ndarray, ...]:
    """Top, and the gradient of its sum, bin by bin and position by position."""
    height, width = x.shape[2:]
    y, dx = np.zeros((len(regions), x.shape[1], rows, columns)), np.zeros_like(x)

    def rounded(value: float) -> int:
        scaled = np.float32(value) * np.float32(scale)
        return int(np.sign(scaled) * np.floor(abs(np.float64(scaled)) + 0.5))

    for r, (image, x1, y1, x2, y2) in enumerate(regions):
        left, top = rounded(x1), rounded(y1)
        wide = np.float32(max(rounded(x2) - left + 1, 1)) / np.float32(columns)
        high = np.float32(max(rounded(y2) - top + 1, 1)) / np.float32(rows)
        for c in range(x.shape[1]):
            for i in range(rows):
                for j in range(columns):
                    first_row, last_row = int(np.floor(np.float32(i) * high)), int(np.ceil(np.float32(i + 1) * high))
                    first, last = int(np.floor(np.float32(j) * wide)), int(np.ceil(np.float32(j + 1) * wide))
                    best, where = -np.inf, None
                    for h in range(min(max(first_row + top, 0), height), min(max(last_row + top, 0), height)):
                        for w in range(min(max(first + left, 0), width), min(max(last + left, 0), width)):
                            if x[int(image), c, h, w] > best:
                                best, where = x[int(image), c, h, w], (int(image), c, h, w)
                    if where is not None:
                        y[r, c, i, j] = best
                        dx[where] += 1
    return y, dx


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("phase", [Phase.TRAIN, Phase.TEST])
def test_it_equals_a_loop_over_positions(seed: int, dtype: str, phase: Phase) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = (int(each) for each in rng.integers(1, 8, 2))
    scale = float(rng.choice([1.0, 0.5, 0.0625, 0.3]))
    x = rng.integers(-3, 3, (2, 2, *rng.integers(1, 20, 2))).astype(float)  # many equal values
    corners = rng.uniform(-30, 30 / scale, (9, 4))
    corners[::2] = np.round(corners[::2])
    regions = np.column_stack([rng.integers(0, 2, 9), corners]).astype(np.float32)
    options = {"pooled_h": rows, "pooled_w": columns, "spatial_scale": scale}
    y, dx = by_loops(x, regions, rows, columns, scale)
    run = run_layer("ROIPooling", [x, regions], options=options, phase=phase, dtype=dtype, top_diffs=[np.ones(y.shape)])
    np.testing.assert_array_equal(run.tops[0], y)
    np.testing.assert_array_equal(run.bottom_diffs[0], dx)


@pytest.mark.parametrize("image", [-1.0, 2.0, np.nan])
def test_a_region_of_no_image_is_refused(image: float) -> None:
    options = {"pooled_h": 2, "pooled_w": 2}
    with pytest.raises(CafxError, match=INVALID_BATCH):
        run_layer("ROIPooling", [np.ones((2, 1, 4, 4)), [[image, 0, 0, 3, 3]]], options=options)


def test_regions_far_outside_give_0() -> None:
    options = {"pooled_h": 2, "pooled_w": 2}
    regions = [[0, 1e9, 1e9, 2e9, 2e9], [0, -2e9, 0, -1e9, 3]]
    run = run_layer("ROIPooling", [np.ones((1, 1, 4, 4)), regions], options=options)
    assert not run.tops[0].any()


def test_nan_and_zeros_of_both_signs_are_ordered() -> None:
    options = {"pooled_h": 1, "pooled_w": 1}
    x = np.array([[[[-0.0, 0.0]], [[1.0, -np.nan]]]], np.float32)
    run = run_layer("ROIPooling", [x, [[0, 0, 0, 1, 0]]], options=options, top_diffs=[np.ones((1, 2, 1, 1))])
    assert np.isnan(run.tops[0].reshape(-1)).tolist() == [False, True]
    assert run.bottom_diffs[0].reshape(-1).tolist() == [1, 0, 0, 1]


def test_regions_that_are_not_finite_have_empty_bins_and_end_nothing() -> None:
    x = np.arange(1.0, 49).reshape(1, 1, 6, 8)
    regions = [[0, np.nan, 0, 3, 3], [0, 0, 0, np.inf, 3], [0, -np.inf, 0, 3, 3], [0, 0, 0, 3, 3]]
    run = run_layer("ROIPooling", [x, np.array(regions)], options={"pooled_h": 1, "pooled_w": 1})
    assert np.isfinite(run.tops[0]).all()
    assert run.tops[0].reshape(-1)[3] == 28


@pytest.mark.parametrize("phase", list(Phase))
def test_features_without_pixels_have_empty_bins(phase: Phase) -> None:
    x, regions = np.zeros((1, 2, 0, 8)), np.array([[0.0, 1, 1, 5, 5]])
    run = run_layer("ROIPooling", [x, regions], options={"pooled_h": 2, "pooled_w": 3}, phase=phase)
    np.testing.assert_array_equal(run.tops[0], np.zeros((1, 2, 2, 3)))


NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 dim: 13 dim: {width} }} }} }}
layer {{ name: "rois" type: "Input" top: "rois" input_param {{ shape {{ dim: {regions} dim: 5 }} }} }}
layer {{ name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {{
  num_output: {channels} kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "p" type: "ROIPooling" bottom: "c" bottom: "rois" top: "y" roi_pooling_param {{
  pooled_h: {rows} pooled_w: {columns} spatial_scale: 0.5 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "y" top: "z" inner_product_param {{
  num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "s" type: "Reduction" bottom: "z" top: "s" reduction_param {{ operation: SUMSQ }} loss_weight: 1 }}"""


@pytest.mark.parametrize("phase", [TEST, TRAIN])
@pytest.mark.parametrize(
    ("width", "regions", "channels", "rows", "columns"),
    [(16, 1, 32, 7, 7), (5, 40, 16, 6, 6), (9, 7, 20, 1, 3), (16, 3, 160, 2, 2)],
)
def test_onednn_pools_what_numpy_does(
    width: int, regions: int, channels: int, rows: int, columns: int, phase: Phase
) -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    rng, found = np.random.default_rng(regions), []
    text = NET.format(width=width, regions=regions, channels=channels, rows=rows, columns=columns)
    passes = []
    for _ in range(3):
        boxes = rng.uniform(-8, 40, (regions, 4))
        boxes[:, 2:] += boxes[:, :2] * (rng.random((regions, 1)) < 0.5)
        x = rng.standard_normal((2, 3, 13, width))
        passes.append((x, np.column_stack([rng.integers(0, 2, regions), boxes])))
    for engine in ("onednn", "numpy"):
        with Net(schema().parse_text(text, "NetParameter"), phase, engine=engine, seed=1) as net:
            tops = []
            for x, boxes in passes:
                net.blobs["x"].set_data(x)
                net.blobs["rois"].set_data(boxes)
                net.clear_param_diffs()
                net.run_forward()
                net.run_backward()
                tops += [net.blobs["y"].host(), net.blobs["z"].host(), *(each.host_diff() for each in net.params["c"])]
            run_by = {part.name: part.run_by for part in net.program.parts}
            assert run_by["p"] == ("onednn" if engine == "onednn" else "plain")
            found.append(tops)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5 * max(1, np.abs(other).max()))


ALONE = """
force_backward: true
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: {channels} dim: 13 dim: 9 }} }} }}
layer {{ name: "rois" type: "DummyData" top: "rois" dummy_data_param {{ shape {{ dim: 3 dim: 5 }} }} }}
layer {{ name: "p" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" roi_pooling_param {{
  pooled_h: 4 pooled_w: 3 spatial_scale: 0.5 }} }}
layer {{ name: "s" type: "Reduction" bottom: "y" top: "s" loss_weight: 1 }}"""


@pytest.mark.parametrize("channels", [16, 17])
def test_onednn_keeps_nan_in_its_bins_and_finds_the_first_maximum(channels: int) -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    x = np.random.default_rng(0).integers(-2, 2, (2, channels, 13, 9)).astype(np.float32)
    x[0, 3, 2, 2], x[1, -1, 0, 0], x[0, 5], x[0, 6] = np.nan, np.nan, -np.inf, -0.0
    boxes, found = [[0, 0, 0, 16, 24], [1, 2, 2, 16, 24], [0, 90, 90, 99, 99]], []
    for engine in ("onednn", "numpy"):
        proto = schema().parse_text(ALONE.format(channels=channels), "NetParameter")
        with Net(proto, TRAIN, engine=engine) as net, np.errstate(invalid="ignore"):
            net.blobs["x"].set_data(x)
            net.run_forward(end="rois")
            net.blobs["rois"].set_data(boxes)
            net.run_forward(start="p")
            net.run_backward()
            found.append((net.blobs["y"].host(), net.blobs["x"].host_diff()))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isnan(found[0][0]).sum() == 1
    assert found[0][1].sum() == 2 * channels * 12


def test_onednn_refuses_an_image_that_is_not_in_the_batch() -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    text = NET.format(width=9, regions=1, channels=16, rows=4, columns=3)
    with Net(schema().parse_text(text, "NetParameter"), TEST, engine="onednn") as net:
        net.blobs["rois"].set_data([[2, 0, 0, 5, 5]])
        with pytest.raises(CafxError, match=INVALID_BATCH) as caught:
            net.run_forward()
        assert "'p'" in str(caught.value)
