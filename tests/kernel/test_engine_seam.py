"""The engine seam, proved by a small engine that keeps blobs transposed and runs two layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.kernel import Blob, Engine, Net, Registry, Routine, Unsupported, schema
from cafx.kernel.blob import HOST
from cafx.kernel.net import Layer, Step

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 6 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 5 weight_filler { type: "test" } } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "plain" type: "ReLU" bottom: "h" top: "p" relu_param { negative_slope: 0.5 } }
layer { name: "ip2" type: "InnerProduct" bottom: "p" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "test" } } }
force_backward: true
"""


class TransposedPlace:
    """Columns first: a matrix lies here as its transpose."""

    name = "transposed"

    def __init__(self) -> None:
        self.conversions: list[str] = []

    def allocate(self, count: int, dtype: npt.DTypeLike) -> Any:
        return None

    def from_host(self, host: npt.NDArray[Any], array: Any) -> Any:
        raise NotImplementedError("routines say which shape they mean: see fetch")

    def to_host(self, array: npt.NDArray[Any], host: npt.NDArray[Any]) -> None:
        self.conversions.append("to host")
        host[...] = array.T.reshape(-1)

    def fetch(self, blob: Blob, synced: Any) -> npt.NDArray[Any]:
        """The blob's matrix, transposed, converted only if this place is not current."""
        if self not in synced.current:
            self.conversions.append("from host")
            matrix = synced.read(HOST).reshape(blob.shape[0], -1)
            synced.arrays[self] = np.ascontiguousarray(matrix.T)
            synced.current.add(self)
        held: npt.NDArray[Any] = synced.arrays[self]
        return held


PLACE = TransposedPlace()


class TransposedProduct(Routine):
    """Yᵀ = W Xᵀ + b."""

    def forward(self) -> None:
        bottom, top, (weights, bias) = self.step.bottom[0], self.step.top[0], self.layer.blobs
        x = PLACE.fetch(bottom, bottom.synced_data)
        top.synced_data.put(PLACE, weights.data @ x + bias.data[:, None])

    def backward(self) -> None:
        bottom, top, (weights, bias) = self.step.bottom[0], self.step.top[0], self.layer.blobs
        x, dy = PLACE.fetch(bottom, bottom.synced_data), PLACE.fetch(top, top.synced_diff)
        weights.mutable_diff[...] += dy @ x.T
        bias.mutable_diff[...] += dy.sum(axis=1)
        if self.step.propagate_down[0]:
            bottom.synced_diff.put(PLACE, weights.data.T @ dy)


class TransposedReLU(Routine):
    """max(x, 0) on transposed memory."""

    def __init__(self, engine: Engine, layer: Layer, step: Step) -> None:
        if layer.options.negative_slope:
            raise Unsupported("no leaky form")
        super().__init__(engine, layer, step)

    def forward(self) -> None:
        x = PLACE.fetch(self.step.bottom[0], self.step.bottom[0].synced_data)
        self.step.top[0].synced_data.put(PLACE, np.maximum(x, 0))

    def backward(self) -> None:
        bottom, top = self.step.bottom[0], self.step.top[0]
        x, dy = PLACE.fetch(bottom, bottom.synced_data), PLACE.fetch(top, top.synced_diff)
        bottom.synced_diff.put(PLACE, dy * (x > 0))


class TransposedEngine(Engine):
    """Two routines, and a rewrite that fuses a product with the unit after it."""

    name = "transposed"

    def rewrite(self, steps: list[Step]) -> list[Step]:
        fused: list[Step] = []
        for step in steps:
            before = fused[-1] if fused else None
            if before and isinstance(before.object, TransposedProduct) and isinstance(step.object, TransposedReLU):
                fused[-1] = self._fuse(before, step)
            else:
                fused.append(step)
        return fused

    @staticmethod
    def _fuse(first: Step, second: Step) -> Step:
        def forward() -> None:
            first.forward()
            second.forward()

        def backward() -> None:
            second.backward()
            first.backward()

        return Step(
            first.layer, first.index, first.bottom, second.top, first.propagate_down, first.needs_backward,
            forward, backward, "transposed", "fused", (first, second),
        )  # fmt: skip


class TestFiller:
    """Values that are the same each time."""

    __test__ = False

    def __init__(self, options: Any) -> None:
        pass

    def fill(self, shape: tuple[int, ...], rng: Any) -> npt.NDArray[Any]:
        return np.cos(np.arange(np.prod(shape))).reshape(shape)


@pytest.fixture
def plugins() -> Registry:
    registry = Registry()
    registry.add("filler", "test", TestFiller)
    registry.add("engine", "transposed", TransposedEngine)
    registry.add("engine.transposed", "InnerProduct", TransposedProduct)
    registry.add("engine.transposed", "ReLU", TransposedReLU)
    PLACE.conversions.clear()
    return registry


def build(plugins: Registry, engine: str) -> Net:
    return Net(schema(plugins).parse_text(NET, "NetParameter"), engine=engine, plugins=plugins)


def run(net: Net) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(0)
    found = net.forward(x=rng.standard_normal((4, 6)))
    net.clear_param_diffs()
    found |= {f"d{k}": v for k, v in net.backward(y=rng.standard_normal((4, 3))).items()}
    found |= {f"{name}.{i}": b.diff.copy() for name, blobs in net.params.items() for i, b in enumerate(blobs)}
    return found


def test_it_gives_what_numpy_gives(plugins: Registry) -> None:
    expected, found = run(build(plugins, "numpy")), run(build(plugins, "transposed"))
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_blobs_are_converted_only_where_a_plain_layer_meets_them(plugins: Registry) -> None:
    net = build(plugins, "transposed")
    PLACE.conversions.clear()
    net.run_forward()
    # x comes in, h goes out to the plain layer, p comes in again; y is not asked for
    assert PLACE.conversions == ["from host", "to host", "from host"]
    np.testing.assert_array_equal(net.blobs["y"].data, net.blobs["y"].synced_data.arrays[PLACE].T)


def test_the_schedule_says_who_runs_what(plugins: Registry) -> None:
    net = build(plugins, "transposed")
    told = [(step.name, step.routine, step.note) for step in net.steps]
    assert ("ip1+relu", "transposed", "fused") in told
    assert ("plain", "plain", "no leaky form") in told
    assert [layer.name for layer in net.layers] == ["x", "ip1", "relu", "plain", "ip2"]


def test_a_pass_that_cuts_a_fusion_runs_its_parts(plugins: Registry) -> None:
    whole, cut = build(plugins, "transposed"), build(plugins, "transposed")
    x = np.random.default_rng(1).standard_normal((4, 6))
    expected = whole.forward(x=x)["y"]
    cut.forward(x=x, end="ip1")
    assert (cut.blobs["h"].data < 0).any(), "the unit must not have run yet"
    found = cut.forward(start="relu")["y"]
    np.testing.assert_array_equal(found, expected)


def test_routines_are_made_anew_when_shapes_change(plugins: Registry) -> None:
    net = build(plugins, "transposed")
    for batch in (4, 9, 2):
        x = np.random.default_rng(batch).standard_normal((batch, 6))
        assert net.forward(x=x)["y"].shape == (batch, 3)
        np.testing.assert_allclose(net.forward(x=x)["y"], build(plugins, "numpy").forward(x=x)["y"], rtol=1e-5)
