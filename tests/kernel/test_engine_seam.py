"""The engine seam, proved by a small engine written against it alone.

It keeps blobs transposed, accelerates two layers, fuses two steps and owns its arena.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest

from cafx.kernel import Blob, Engine, Net, Place, Registry, Routine, Solver, SyncedArray, Unsupported, schema
from cafx.kernel.blob import HOST
from cafx.kernel.net import Arena, Compilation, LayerPlan, Step

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
LOSS = """layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 0.5
  reduction_param { operation: SUMSQ } }"""


@attrs.frozen
class Transposed(Place):
    """A matrix, column by column."""

    rows: int
    columns: int
    name = "transposed"

    def allocate(self, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.zeros(count, dtype)

    def from_host(self, host: npt.NDArray[Any], array: npt.NDArray[Any]) -> None:
        CONVERSIONS.append("from host")
        array[...] = host.reshape(self.rows, self.columns).T.reshape(-1)

    def to_host(self, array: npt.NDArray[Any], host: npt.NDArray[Any]) -> None:
        CONVERSIONS.append("to host")
        host[...] = array.reshape(self.columns, self.rows).T.reshape(-1)


CONVERSIONS: list[str] = []


class TransposedRoutine(Routine):
    """Reads and writes matrices that are transposed."""

    def place_of(self, blob: Blob) -> Place:
        return Transposed(*blob.shape)

    def matrix(self, array: SyncedArray, blob: Blob) -> npt.NDArray[Any]:
        return array.read(self.place_of(blob)).reshape(blob.shape[::-1])  # type: ignore[no-any-return]

    def write(self, array: SyncedArray, blob: Blob, values: npt.NDArray[Any]) -> None:
        array.memory(self.place_of(blob))[...] = values.reshape(-1)
        array.mark_written(self.place_of(blob))


class TransposedProduct(TransposedRoutine):
    """Yᵀ = W Xᵀ + b."""

    def forward(self) -> None:
        bottom, top, (weights, bias) = self.planned.bottoms[0], self.planned.tops[0], self.layer.blobs
        self.write(top.synced_data, top, weights.data @ self.matrix(bottom.synced_data, bottom) + bias.data[:, None])

    def backward(self) -> None:
        bottom, top, (weights, bias) = self.planned.bottoms[0], self.planned.tops[0], self.layer.blobs
        x, dy = self.matrix(bottom.synced_data, bottom), self.matrix(top.synced_diff, top)
        weights.mutable_diff[...] += dy @ x.T
        bias.mutable_diff[...] += dy.sum(axis=1)
        if self.planned.propagate_down[0]:
            self.write(bottom.synced_diff, bottom, weights.data.T @ dy)


class TransposedReLU(TransposedRoutine):
    """max(x, 0)."""

    def __init__(self, compilation: Compilation, planned: LayerPlan) -> None:
        if planned.layer.options.negative_slope:  # type: ignore[attr-defined]
            raise Unsupported("no leaky form")
        super().__init__(compilation, planned)

    def forward(self) -> None:
        bottom, top = self.planned.bottoms[0], self.planned.tops[0]
        self.write(top.synced_data, top, np.maximum(self.matrix(bottom.synced_data, bottom), 0))

    def backward(self) -> None:
        bottom, top = self.planned.bottoms[0], self.planned.tops[0]
        x, dy = self.matrix(bottom.synced_data, bottom), self.matrix(top.synced_diff, top)
        self.write(bottom.synced_diff, bottom, dy * (x > 0))


class OwnArena(Arena):
    """An arena of the engine's own."""


class TransposedEngine(Engine):
    """Two routines; a product and the ReLU behind it are one step."""

    name = "transposed"

    def fuse(self, compilation: Compilation, steps: Sequence[Step]) -> Sequence[Step]:
        fused: list[Step] = []
        for step in steps:
            before = fused[-1].routines[0] if fused else None
            if isinstance(before, TransposedProduct) and isinstance(step.routines[0], TransposedReLU):
                last = fused.pop()
                step = Step(last.layers + step.layers, last.routines + step.routines, "fused")
            fused.append(step)
        return fused

    def arena(self, *arguments: Any) -> Arena:
        return OwnArena(*arguments, self.place)


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
    CONVERSIONS.clear()
    return registry


def build(plugins: Registry, engine: str | Engine, keep: str = "all") -> Net:
    return Net(schema(plugins).parse_text(NET, "NetParameter"), engine=engine, plugins=plugins, keep=keep)


def run(net: Net) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(0)
    results = net.forward(x=rng.standard_normal((4, 6)))
    net.clear_param_diffs()
    results |= {f"d{k}": v for k, v in net.backward(y=rng.standard_normal((4, 3))).items()}
    results |= {f"{name}.{i}": b.diff.copy() for name, blobs in net.params.items() for i, b in enumerate(blobs)}
    return results


def trained(plugins: Registry, engine: str | Engine) -> Solver:
    """Three iterations on one batch."""
    options = schema(plugins).parse_text(
        'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 random_seed: 1 test_iter: 2 test_interval: 1', "SolverParameter"
    )
    options.net_param.CopyFrom(schema(plugins).parse_text(NET + LOSS, "NetParameter"))
    solver = Solver(options, engine=engine, plugins=plugins, keep="outputs")
    for net in (solver.net, *solver.test_nets):
        net.blobs["x"].set_data(np.random.default_rng(0).standard_normal((4, 6)))
    solver.step(3)
    return solver


def test_it_gives_what_numpy_gives(plugins: Registry) -> None:
    expected, results = run(build(plugins, "numpy")), run(build(plugins, "transposed"))
    assert expected.keys() == results.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(results[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_blobs_are_converted_only_where_a_plain_layer_meets_them(plugins: Registry) -> None:
    net = build(plugins, "transposed")
    net.blobs["x"].set_data(np.ones((4, 6)))
    CONVERSIONS.clear()
    net.run_forward()
    # x comes in, h goes out to the plain layer, p comes in again; nobody asks for y
    assert CONVERSIONS == ["from host", "to host", "from host"]


def test_the_program_says_who_runs_what(plugins: Registry) -> None:
    net = build(plugins, "transposed")
    told = [(step.name, step.run_by, step.note) for step in net.program.steps]
    assert ("ip1+relu", "transposed", "fused") in told
    assert ("plain", "plain", "no leaky form") in told
    assert [layer.name for layer in net.layers] == ["x", "ip1", "relu", "plain", "ip2"]


@pytest.mark.slow
def test_a_pass_that_cuts_a_fusion_runs_its_parts(plugins: Registry) -> None:
    whole, cut = build(plugins, "transposed"), build(plugins, "transposed")
    x = np.random.default_rng(1).standard_normal((4, 6))
    expected = whole.forward(x=x)["y"]
    cut.forward(x=x, end="ip1")
    assert (cut.blobs["h"].data < 0).any(), "the ReLU must not have run yet"
    np.testing.assert_array_equal(cut.forward(start="relu")["y"], expected)


def test_a_program_is_compiled_once_per_shape(plugins: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    compile_net = TransposedEngine.compile

    def counted(self: TransposedEngine, plan: Any) -> Any:
        compiled.append(plan.layers[0].tops[0].shape)
        return compile_net(self, plan)

    monkeypatch.setattr(TransposedEngine, "compile", counted)
    net = build(plugins, "transposed")
    for batch in (4, 9, 4, 9, 2, 9):
        x = np.random.default_rng(batch).standard_normal((batch, 6))
        assert net.forward(x=x)["y"].shape == (batch, 3)
        np.testing.assert_allclose(net.forward(x=x)["y"], build(plugins, "numpy").forward(x=x)["y"], rtol=1e-5)
    assert compiled == [(4, 6), (9, 6), (2, 6)]


def test_several_nets_share_one_engine(plugins: Registry) -> None:
    engine = TransposedEngine(plugins)
    expected, solver = trained(plugins, "numpy"), trained(plugins, engine)
    assert {net.engine for net in (solver.net, *solver.test_nets)} == {engine}
    assert solver.losses == pytest.approx(expected.losses, rel=1e-5)
    assert solver.test()["loss"] == pytest.approx(expected.test()["loss"], rel=1e-5)
    assert isinstance(solver.net.arena, OwnArena)


def test_a_loss_counts_once_whether_its_step_is_fused_or_not(plugins: Registry) -> None:
    weighted = NET.replace('top: "h" }\nlayer { name: "plain"', 'top: "h" loss_weight: 1 }\nlayer { name: "plain"')
    losses = []
    for engine in ("numpy", "transposed"):
        net = Net(schema(plugins).parse_text(weighted, "NetParameter"), engine=engine, plugins=plugins)
        net.forward(x=np.ones((4, 6)))
        losses.append(net.loss)
    assert losses[0] == pytest.approx(losses[1])
    assert losses[0] > 0


def test_a_net_for_inference_refuses_to_run_backward(plugins: Registry) -> None:
    net = build(plugins, "transposed", keep="outputs")
    assert net.blobs["x"].place is HOST
    net.run_forward()
    with pytest.raises(Exception, match="built for inference"):
        net.run_backward()
