"""What the common fields do: rounding, dilated pooling, dropout's scale, shapes of MemoryData."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, Net, Phase, schema

TestDialectCommon = plugin_suite("dialect", "common")

ENGINES = ("numpy", "onednn")


def net(layer: str, shape: tuple[int, ...] = (2, 3, 7, 8), phase: Phase = Phase.TEST, engine: str = "numpy") -> Net:
    """A net of an Input and one layer."""
    dims = " ".join(f"dim: {each}" for each in shape)
    text = f"""force_backward: true
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
    layer {{ name: "y" bottom: "x" top: "y" {layer} }}"""
    return Net(schema().parse_text(text, "NetParameter", "n"), phase, engine=engine)


def pooling(options: str) -> str:
    return f'type: "Pooling" pooling_param {{ {options} }}'


@pytest.mark.parametrize(("mode", "rows"), [("true", 4), ("false", 3)])
def test_ceil_mode_is_rounding(mode: str, rows: int) -> None:
    with net(pooling(f"kernel_size: 2 stride: 2 ceil_mode: {mode}")) as built:
        assert built.blobs["y"].shape == (2, 3, rows, 4)


def pooled(x: Any, kernel: int, stride: int, pad: int, apart: int, mean: bool) -> Any:
    """Dilated pooling, value by value."""
    extent = apart * (kernel - 1) + 1
    counts = [-(-(size + 2 * pad - extent) // stride) + 1 for size in x.shape[2:]]
    if pad:
        counts = [c - 1 if (c - 1) * stride >= s + pad else c for c, s in zip(counts, x.shape[2:], strict=True)]
    y = np.zeros((*x.shape[:2], *counts))
    for i, j in np.ndindex(*counts):
        rows = [i * stride - pad + k * apart for k in range(kernel)]
        columns = [j * stride - pad + k * apart for k in range(kernel)]
        taken = [x[:, :, r, c] for r in rows for c in columns if 0 <= r < x.shape[2] and 0 <= c < x.shape[3]]
        size = sum(r < x.shape[2] + pad for r in rows) * sum(c < x.shape[3] + pad for c in columns)
        y[:, :, i, j] = sum(taken) / size if mean else np.max(taken, axis=0)
    return y


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(("kernel", "stride", "pad", "apart"), [(3, 1, 0, 2), (2, 2, 1, 3), (3, 2, 2, 2), (2, 1, 0, 6)])
def test_dilated_pooling(kernel: int, stride: int, pad: int, apart: int, method: str, engine: str) -> None:
    options = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} dilation: {apart}"
    x = np.random.default_rng(1).permutation(2 * 3 * 7 * 8).reshape(2, 3, 7, 8).astype(np.float32)
    with net(pooling(options), engine=engine) as built:
        y = built.forward(x=x)["y"]
        np.testing.assert_allclose(y, pooled(x, kernel, stride, pad, apart, method == "AVE"), rtol=1e-5)
        dx = built.backward(y=np.ones_like(y))["x"]
    moved = np.float32(0.25) * np.eye(1, x.size, 100, dtype=np.float32).reshape(x.shape)
    change = (pooled(x + moved, kernel, stride, pad, apart, method == "AVE") - y).sum() / 0.25
    assert dx.reshape(-1)[100] == pytest.approx(change, abs=1e-3)


def test_a_mask_of_dilated_pooling_indexes_the_plane() -> None:
    layer = pooling("kernel_size: 2 dilation: 3").replace('top: "y"', "")
    x = np.random.default_rng(2).permutation(56).reshape(1, 1, 7, 8).astype(np.float32)
    with net(f'top: "mask" {layer}', (1, 1, 7, 8)) as built:
        result = built.forward(x=x)
    np.testing.assert_array_equal(x.reshape(-1)[result["mask"].astype(int)], result["y"])


@pytest.mark.parametrize("dilation", ["dilation: 0", "dilation: 1 dilation: 1 dilation: 1"])
def test_an_invalid_dilation_is_refused(dilation: str) -> None:
    with pytest.raises(CafxError, match="dilation is out of range"):
        net(pooling(f"kernel_size: 2 {dilation}"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("options", "phase", "values"),
    [
        ("scale_train: false", Phase.TRAIN, {0.0, 1.0}),
        ("scale_train: false", Phase.TEST, {0.75}),
        ("scale_train: true", Phase.TRAIN, {0.0, 4 / 3}),
        ("sample_weights_test: true", Phase.TEST, {0.0, 4 / 3}),
        ("sample_weights_test: true scale_train: false", Phase.TEST, {0.0, 1.0}),
        ("", Phase.TEST, {1.0}),
    ],
)
def test_where_dropout_scales_and_drops(options: str, phase: Phase, values: set[float], engine: str) -> None:
    layer = f'type: "Dropout" dropout_param {{ dropout_ratio: 0.25 {options} }}'
    with net(layer, (40, 40), phase, engine) as built:
        y = built.forward(x=np.ones((40, 40)))["y"]
        dx = built.backward(y=np.ones((40, 40)))["x"]
    np.testing.assert_allclose(np.unique(y), sorted(values), rtol=1e-6)
    np.testing.assert_array_equal(dx, y)


def test_memory_data_of_any_number_of_axes() -> None:
    text = 'layer { name: "d" type: "MemoryData" top: "x" top: "l" memory_data_param { %s } }'
    with Net(schema().parse_text(text % "dim: 2 dim: 1 dim: 3 dim: 4 dim: 5", "NetParameter")) as built:
        assert built.blobs["x"].shape == (2, 1, 3, 4, 5)
        built.layers[0].reset(np.arange(240).reshape(4, 1, 3, 4, 5))
        assert built.forward()["x"][1, 0, 0, 0, 0] == 60
    with pytest.raises(CafxError, match="positive"):
        Net(schema().parse_text(text % "dim: 2 dim: 0", "NetParameter"))


def test_the_dsl_knows_the_fields_of_dialects() -> None:
    from cafx.dsl import NetSpec, SolverSpec
    from cafx.dsl import layers as L
    from cafx.dsl import params as P

    n = NetSpec("n")
    n.x = L.Input(shape={"dim": [1, 1, 7, 7]})
    n.y = L.Pooling(n.x, kernel_size=2, stride=2, ceil_mode=False, pool=P.Pooling.AVE)
    n.z = L.Pooling(n.x, kernel_size=2, dilation=3)
    assert "ceil_mode (bool, default True): round output sizes up" in (L.Pooling.__doc__ or "")
    text = str(n.to_proto())
    assert "ceil_mode: false" in text
    with Net(schema().parse_text(text, "NetParameter")) as built:
        assert built.blobs["y"].shape == (1, 1, 3, 3)
        assert built.blobs["z"].shape == (1, 1, 4, 4)
    solver = SolverSpec(net=n, base_lr=0.1, lr_policy="step", warmup_iter=5)
    assert solver.to_proto().warmup_iter == 5
    with pytest.raises(CafxError, match="did you mean 'ceil_mode'"):
        L.Pooling(n.x, kernel_size=2, ceil_mod=True)


def test_plugins_show_lists_them() -> None:
    from cafx.cli.inventory import find
    from cafx.cli.pages import page

    assert "| `ceil_mode` | bool | true | round output sizes up |" in page(find("Pooling"))
    shown = page(find("common"))
    assert "| `PoolingParameter` | `ceil_mode` | bool | true | round output sizes up | rewritten as round_mode" in shown
