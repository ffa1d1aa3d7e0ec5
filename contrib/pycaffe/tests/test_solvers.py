"""pycaffe's solvers and process-wide settings."""

from __future__ import annotations

import caffe
import numpy as np
import pytest

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "target"
        dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 }
                           data_filler { type: "constant" value: 1 }
                           data_filler { type: "constant" value: 3 } } }
layer { name: "hidden" type: "InnerProduct" bottom: "data" top: "hidden"
        inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "hidden" top: "ip"
        inner_product_param { num_output: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" test_iter: 1 test_interval: 1000 test_initialization: false
base_lr: 0.01 lr_policy: "fixed" max_iter: 6 snapshot_prefix: "snap"
"""
CLASSES = {
    "SGD": caffe.SGDSolver,
    "Nesterov": caffe.NesterovSolver,
    "AdaGrad": caffe.AdaGradSolver,
    "RMSProp": caffe.RMSPropSolver,
    "AdaDelta": caffe.AdaDeltaSolver,
    "Adam": caffe.AdamSolver,
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("caffe.modes.process.seed", None)
    monkeypatch.setattr("caffe.modes.process.engine", None)
    monkeypatch.setattr("caffe.modes.process.device", None)
    return tmp_path


def test_a_script_trains_saves_a_snapshot_and_resumes():
    caffe.set_random_seed(1)
    solver = caffe.get_solver("solver.prototxt")
    solver.step(2)
    assert solver.iter == 2
    before = float(solver.net.blobs["loss"].data)
    solver.snapshot()
    solver.step(1)
    after = solver.net.params["ip"][0].data.copy()
    again = caffe.get_solver("solver.prototxt")
    again.restore("snap_iter_2.solverstate")
    again.step(1)
    np.testing.assert_array_equal(again.net.params["ip"][0].data, after)
    again.solve()
    assert again.iter == again.param.max_iter == 6
    assert again.net.blobs["loss"].data < before


@pytest.mark.parametrize("name", CLASSES)
def test_a_solver_class_overrides_the_type_in_the_file(name):
    solver = CLASSES[name]("solver.prototxt")
    assert solver.param.type == name
    solver.step(1)


def test_parameter_arrays_stay_connected_to_training_and_testing():
    solver = caffe.get_solver("solver.prototxt")
    weights = solver.net.params["ip"][0].data
    weights[...] = 0
    test_net = solver.test_nets[0]
    test_net.forward()
    assert test_net.blobs["ip"].data.tolist() == [[0]] * 4
    solver.step(1)
    assert weights.any()
    test_net.forward()
    assert test_net.blobs["hidden"].data.any()
    assert test_net.blobs["ip"].data.any()


def test_apply_update_uses_the_current_gradients():
    solver = caffe.get_solver("solver.prototxt")
    before = solver.net.params["ip"][1].data.copy()
    solver.net.params["ip"][1].diff[...] = 1
    solver.apply_update()
    np.testing.assert_allclose(solver.net.params["ip"][1].data, before - 0.01, rtol=1e-5)
    assert solver.iter == 1


def test_callbacks_are_called_in_each_iteration():
    solver = caffe.get_solver("solver.prototxt")
    seen = []
    solver.add_callback(lambda: seen.append("start"), lambda: seen.append("gradients"))
    solver.step(2)
    assert seen == ["start", "gradients"] * 2


def test_equal_seeds_give_equal_weights():
    def weights():
        caffe.set_random_seed(5)
        return caffe.Net("net.prototxt", caffe.TEST).params["ip"][0].data.copy()

    np.testing.assert_array_equal(weights(), weights())


def test_settings_are_accepted():
    caffe.set_mode_cpu()
    caffe.set_device(0)
    caffe.set_multiprocess(True)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    caffe.log("a line")
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.has_nccl()) == (1, 0, True)
    assert "InnerProduct" in caffe.layer_type_list()
    assert caffe.Net("net.prototxt", caffe.TEST).forward()["loss"].shape == ()
    with pytest.raises(AttributeError):
        _ = caffe.nothing_of_the_kind
