"""Training on the GPU: what the numpy engine computes, in recorded graphs."""

import numpy as np
import pytest

from cafx.kernel import CafxError, Solver, schema

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 8 dim: 1 dim: 12 dim: 12 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" }
layer { name: "ip1" type: "InnerProduct" bottom: "norm" top: "ip1"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
DROPOUT
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }'
RULES = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "delta: 1e-4",
    "RMSProp": "rms_decay: 0.9 delta: 1e-3",
    "AdaDelta": "momentum: 0.9 delta: 1e-4",
    "Adam": "momentum: 0.9 momentum2: 0.99 delta: 1e-4",
}


def make_solver(engine, folder, options="", *, rule="SGD", dropout=False, net=NET, rate=0.01):
    text = f"""type: "{rule}" {RULES[rule]} base_lr: {rate} lr_policy: "step" gamma: 0.5 stepsize: 3
        weight_decay: 0.01 max_iter: 100 random_seed: 3 snapshot_prefix: "{folder}/s" {options}"""
    parsed = schema().parse_text(text, "SolverParameter")
    parsed.net_param.CopyFrom(schema().parse_text(net.replace("DROPOUT", DROPOUT if dropout else ""), "NetParameter"))
    solver = Solver(parsed, engine=engine, keep="outputs")
    rng = np.random.default_rng(0)
    solver.net.blobs["data"].set_data(rng.uniform(size=(8, 1, 12, 12)))
    solver.net.blobs["label"].set_data(rng.integers(0, 5, 8))
    return solver


def parameters(solver):
    return [blob.host() for blobs in solver.net.params.values() for blob in blobs]


def assert_same(one, two, tolerance=1e-4):
    for left, right in zip(parameters(one), parameters(two), strict=True):
        np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "options", ["", "iter_size: 2", "clip_gradients: 0.1", 'regularization_type: "L1" iter_size: 3 clip_gradients: 0.2']
)
def test_each_rule_trains_as_on_the_host(rule, options, make_engine, tmp_path):
    host, device = (make_solver(engine, tmp_path, options, rule=rule) for engine in ("numpy", make_engine()))
    for _ in range(6):
        assert host.step(1) == pytest.approx(device.step(1), rel=1e-4)
    assert_same(host, device)


def test_graphs_change_nothing(make_engine, tmp_path):
    recorded, eager = make_engine(), make_engine()
    eager.recording = False
    solvers = [make_solver(engine, tmp_path, "iter_size: 2", dropout=True) for engine in (recorded, eager)]
    assert [solvers[0].step(1) for _ in range(8)] == [solvers[1].step(1) for _ in range(8)]
    assert_same(*solvers, tolerance=0)
    programs = [solver.net.program for solver in solvers]
    assert not programs[0].recorder.refused
    assert [program.graphs for program in programs] == [3, 0]  # forward, first backward, further backward


COUNTS = ("graph_launches", "host_reads", "synchronisations", "copies_to_device", "copies_to_host", "outside_capture")


def test_an_iteration_is_two_graphs_and_waits_for_nothing(cuda, make_engine, tmp_path):
    solver = make_solver(make_engine(), tmp_path, dropout=True)
    solver.step(4)
    before = [getattr(cuda, name) for name in COUNTS]
    for _ in range(5):
        solver.iterate()
    assert [getattr(cuda, name) - was for name, was in zip(COUNTS, before, strict=True)] == [10, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_a_resumed_run_equals_an_uninterrupted_one(rule, make_engine, tmp_path):
    first, second = (make_solver(make_engine(), tmp_path, rule=rule, dropout=True) for _ in range(2))
    first.step(4)
    _, state = first.snapshot()
    expected = [first.step(1) for _ in range(4)]
    second.restore(state)
    assert [second.step(1) for _ in range(4)] == expected
    assert_same(first, second, tolerance=0)


def test_the_first_iteration_that_is_not_finite_is_reported(make_engine, tmp_path):
    solver = make_solver(make_engine(), tmp_path, rate=1e30)
    with pytest.raises(CafxError, match=r"not finite since iteration [01] "), np.errstate(all="ignore"):
        solver.step(4)


def test_a_label_out_of_range_is_reported(make_engine, tmp_path):
    solver = make_solver(make_engine(), tmp_path)
    solver.step(4)
    solver.net.blobs["label"].set_data([0, 1, 2, 3, 4, 7, 0, 1])
    with pytest.raises(CafxError, match="7"):
        solver.step(1)
