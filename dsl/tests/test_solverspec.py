"""SolverSpec and net.py files."""

from __future__ import annotations

import inspect
import sys

import pytest

from cafx.dsl import NetSpec, SolverSpec, load_python
from cafx.dsl import layers as L
from cafx.kernel import CafxError, Solver, schema


def net() -> NetSpec:
    n = NetSpec("tiny")
    n.data = L.Input(shape={"dim": [2, 3]})
    n.ip = L.InnerProduct(n.data, num_output=1, loss_weight=1)
    return n


def test_every_field_is_a_keyword_with_its_default():
    parameters = inspect.signature(SolverSpec).parameters
    assert set(parameters) >= {field.name for field in schema()["SolverParameter"].DESCRIPTOR.fields}
    assert parameters["rms_decay"].default == 0.99
    assert parameters["rms_decay"].annotation is float
    assert (parameters["net"].annotation, parameters["test_net"].annotation) == (NetSpec | str, list[NetSpec | str])
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert "momentum2 (float, default 0.999)" in SolverSpec.__doc__


def test_a_netspec_is_embedded():
    spec = SolverSpec(net=net(), base_lr=0.1, lr_policy="fixed", test_iter=3, solver_mode="CPU", stepvalue=[1, 2])
    proto = spec.to_proto()
    assert proto.net_param == net().to_proto()
    assert (list(proto.test_iter), list(proto.stepvalue)) == ([3], [1, 2])
    assert schema().parse_text(spec.to_text(), "SolverParameter") == proto
    assert str(spec) == spec.to_text()


def test_paths_and_netspecs_mix():
    proto = SolverSpec(train_net=net(), test_net=["a.prototxt", net()]).to_proto()
    assert proto.train_net_param.name == "tiny"
    assert list(proto.test_net) == ["a.prototxt"]
    assert proto.test_net_param[0].name == "tiny"
    assert SolverSpec(net="a.prototxt").to_proto().net == "a.prototxt"
    assert SolverSpec(net_param=net().to_proto()).to_proto().net_param.name == "tiny"


def test_a_solverspec_trains(tmp_path):
    prefix = str(tmp_path / "snap")
    spec = SolverSpec(net=net(), base_lr=0.1, lr_policy="fixed", max_iter=2, snapshot_prefix=prefix)
    solver = Solver(spec.to_proto())
    solver.solve()
    assert solver.iter == 2
    assert (tmp_path / "snap_iter_2.caffemodel").exists()


def test_fields_can_be_read_and_set_later():
    spec = SolverSpec(base_lr=0.1)
    spec.base_lr = 0.2
    spec.train_state = {"stage": "a", "level": 2}
    spec.momentum = None
    assert (spec.base_lr, spec.max_iter, spec.iter_size) == (0.2, None, 1)
    assert (spec.has("base_lr"), spec.has("momentum")) == (True, False)
    assert spec.to_proto().train_state.level == 2


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (lambda: SolverSpec(base_ler=1), "unknown option 'base_ler'.*did you mean 'base_lr'"),
        (lambda: SolverSpec(base_lr="1"), "base_lr='1' is not valid: expected a number"),
        (lambda: SolverSpec(max_iter=1.5), "max_iter=1.5 is not valid: expected a whole number"),
        (lambda: SolverSpec(solver_mode="TPU"), "solver_mode=.TPU. is not valid; did you mean .*CPU, GPU"),
        (lambda: SolverSpec(lr_policy="fixd"), "unknown learning rate policy 'fixd'.*'fixed'"),
        (lambda: SolverSpec(type="SDG"), "unknown solver type 'SDG'.*'SGD'"),
        (lambda: SolverSpec(net=3), "option 'net': got 3, expected a NetSpec, a NetParameter or a path"),
        (lambda: SolverSpec(net=["a", "b"]), "got 2 nets, expected one"),
        (lambda: SolverSpec(net_param="a.prototxt"), "expected a NetSpec, a NetParameter"),
        (lambda: SolverSpec().base_ler, "has no field 'base_ler'"),
    ],
)
def test_errors_name_the_line(call, pattern):
    with pytest.raises(CafxError, match=rf"test_solverspec\.py:{call.__code__.co_firstlineno}: .*{pattern}"):
        call()


NET_FILE = """
from cafx.dsl import NetSpec, SolverSpec, layers as L
from helper import width

net = NetSpec("file")
net.data = L.Input(shape=dict(dim=[2, width]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "helper.py").write_text("width = 3\ndef fail():\n    raise RuntimeError('no luck')\n")
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    return tmp_path


def write(folder, text):
    path = folder / "net.py"
    path.write_text(text)
    return path


def test_a_file_defines_a_net_or_a_solver(folder):
    loaded = load_python(write(folder, NET_FILE))
    assert isinstance(loaded, NetSpec)
    assert loaded.to_proto().name == "file"
    loaded = load_python(write(folder, NET_FILE + "solver = SolverSpec(net=net)\nif __name__ == '__main__': 1 / 0\n"))
    assert isinstance(loaded, SolverSpec)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("x = 1\ny = x.nothing\n", r"net\.py:2: AttributeError: 'int' object has no attribute 'nothing'"),
        ("x = 1\nif x\n", r"net\.py:2: SyntaxError"),
        ("import sys\nsys.exit('gone')\n", r"net\.py:2: SystemExit: gone"),
        ("import no_such_module_at_all\n", r"net\.py:1: ModuleNotFoundError"),
        ("import helper\nhelper.fail()\n", r"helper\.py:3: RuntimeError: no luck"),
        ("from cafx.dsl import layers as L\n\nL.ReLU()\n", r"net\.py:3: L\.ReLU: wrong number of bottoms"),
        ("import json\njson.loads('{')\n", r"net\.py:2: JSONDecodeError"),
        ("x = 1\n", r"net\.py: defines no net"),
        ("solver = 1\n", r"net\.py: 'solver' is not a solver: got int"),
    ],
)
def test_an_error_in_a_file_names_its_line(folder, text, pattern):
    path = write(folder, text)
    with pytest.raises(CafxError, match=pattern) as caught:
        load_python(path)
    assert str(caught.value).count("\n") == 0


def test_the_cause_is_chained(folder):
    with pytest.raises(CafxError) as caught:
        load_python(write(folder, "1 / 0\n"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(CafxError, match="cannot be read"):
        load_python(tmp_path / "none.py")
