"""Training on channels-last memory: what the numpy engine computes, in recorded graphs."""

import numpy as np
import pytest

from cafx.kernel import Solver, schema

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 19 dim: 19 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 10 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" }
layer { name: "left" type: "Convolution" bottom: "norm1" top: "left"
  convolution_param { num_output: 6 kernel_size: 1 bias_term: false weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "left" top: "left" }
layer { name: "scale" type: "Scale" bottom: "left" top: "left" scale_param { bias_term: true } }
layer { name: "right" type: "Convolution" bottom: "norm1" top: "right"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" }
layer { name: "relu2" type: "ReLU" bottom: "sum" top: "sum" }
layer { name: "all" type: "Concat" bottom: "sum" bottom: "norm1" top: "all" }
layer { name: "ip1" type: "InnerProduct" bottom: "all" top: "ip1"
  inner_product_param { num_output: 12 weight_filler { type: "xavier" } } }
layer { name: "relu3" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""
OPTIONS = """base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 max_iter: 100 random_seed: 3
    test_iter: 2 test_interval: 1000 test_initialization: false snapshot_prefix: "{}/s" """


def make_solver(engine, folder, options=""):
    parsed = schema().parse_text(OPTIONS.format(folder) + options, "SolverParameter")
    parsed.net_param.CopyFrom(schema().parse_text(NET, "NetParameter"))
    solver = Solver(parsed, engine=engine, keep="outputs")
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4, 3, 19, 19)), rng.integers(0, 5, 4)
    for net in (solver.net, *solver.test_nets):
        for name, array in zip(("data", "label"), values, strict=True):
            net.blobs[name].set_data(array)
    return solver


def parameters(solver):
    return {f"{name}.{i}": blob.host() for name, blobs in solver.net.params.items() for i, blob in enumerate(blobs)}


@pytest.mark.parametrize("options", ["", "iter_size: 2 clip_gradients: 0.5", 'type: "Adam" momentum2: 0.99'])
def test_training_gives_what_it_gives_on_the_host(options, make_engine, tmp_path):
    host, device = (make_solver(engine, tmp_path, options) for engine in ("numpy", make_engine()))
    for _ in range(5):
        assert host.step(1) == pytest.approx(device.step(1), rel=1e-3)
    expected = parameters(host)
    for name, found in parameters(device).items():
        np.testing.assert_allclose(found, expected[name], rtol=2e-3, atol=2e-5, err_msg=name)
    assert host.test()["loss"] == pytest.approx(device.test()["loss"], rel=1e-3)
    assert not device.net.program.recorder.refused


def test_bf16_follows_float32(make_engine, tmp_path):
    exact, rounded = make_solver("numpy", tmp_path), make_solver(make_engine(precision="bf16"), tmp_path)
    for _ in range(8):
        assert exact.step(1) == pytest.approx(rounded.step(1), rel=0.05, abs=0.02)


def test_every_layer_but_the_inputs_is_accelerated(make_engine, tmp_path):
    solver = make_solver(make_engine(), tmp_path)
    plain = [step.name for step in solver.net.program.steps if step.run_by == "plain"]
    assert plain == ["data", "label"]
    notes = {step.name: step.note for step in solver.net.program.steps}
    assert "fused ReLU; its gradient in the pooling" in notes["conv1+relu1+pool1"]
    assert "ip1+relu3" in notes


def test_a_test_net_reads_the_weights_where_the_training_net_keeps_them(make_engine, cuda, tmp_path):
    solver = make_solver(make_engine(), tmp_path)
    for _ in range(4):
        solver.step(1)
        solver.test()
    before = cuda.copies_to_host, cuda.copies_to_device
    solver.iterate()
    solver.test_nets[0].run_forward()
    assert (cuda.copies_to_host, cuda.copies_to_device) == before


def test_a_resumed_run_equals_an_uninterrupted_one(make_engine, tmp_path):
    first, second = (make_solver(make_engine(), tmp_path) for _ in range(2))
    first.step(4)
    _, state = first.snapshot()
    expected = [first.step(1) for _ in range(4)]
    second.restore(state)
    assert [second.step(1) for _ in range(4)] == expected
    for one, two in zip(parameters(first).values(), parameters(second).values(), strict=True):
        np.testing.assert_array_equal(one, two)
