"""Nets and solvers built from NetSpec and SolverSpec: lines in errors, short forms, layers of a net.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cafx.dsl
from cafx.dsl import NetSpec, SolverSpec, load_python, local_layers
from cafx.dsl import layers as L
from cafx.kernel import TEST, Blob, CafxError, Net, NeuronLayer, Solver, registry, schema

HERE = Path(__file__).name


def line() -> int:
    """The line of the call."""
    return sys._getframe(1).f_lineno


def mismatched() -> tuple[NetSpec, int]:
    """A net whose loss cannot be set up, and the line of the loss."""
    n = NetSpec("bad")
    n.data = L.Input(shape=[2, 3])
    n.t = L.Input(shape=[2, 4])
    n.loss, at = L.EuclideanLoss(n.data, n.t), line()
    return n, at


def test_a_net_is_built_from_a_netspec() -> None:
    n = NetSpec("small")
    n.data = L.Input(shape=[2, 3])
    n.ip = L.InnerProduct(n.data, num_output=4)
    net = Net(n, TEST, engine="numpy")
    assert net.name == "small"
    assert net.layer_names == ["data", "ip"]
    assert repr(net) == "<Net 'small' (TEST): 2 layers, 16 parameters>"


def test_an_error_of_a_net_that_is_built_names_the_line() -> None:
    n, at = mismatched()
    with pytest.raises(CafxError, match=rf"{HERE}:{at}: layer 'loss' \(EuclideanLoss\): the bottoms differ"):
        Net(n)
    with pytest.raises(CafxError, match=rf"{HERE}:{at}: layer 'loss' \(EuclideanLoss\): the bottoms differ"):
        Solver(SolverSpec(net=n, base_lr=1, lr_policy="fixed"), engine="numpy")


def test_an_unknown_filler_is_told_with_line_and_name() -> None:
    n = NetSpec()
    n.data = L.Input(shape=[2, 3])
    n.scores, at = L.InnerProduct(n.data, num_output=4, weight_filler="xaveir"), line()
    with pytest.raises(CafxError, match=rf"{HERE}:{at}: layer 'scores' .*'xaveir'.*did you mean 'xavier'"):
        Net(n)


def test_a_layer_that_an_upgrade_leaves_alone_keeps_its_line(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "from cafx.dsl import NetSpec, layers as L\nn = NetSpec()\nn.data = L.Input(shape=[2, 3])\n"
        "for i in range(2):\n    n[f'bn{i}'] = L.BatchNorm(n.data, param=dict(lr_mult=0))\n"
        "n.bad = L.Reshape(n.bn0,\n    shape=[5])\nn.other = L.ReLU(n.bn0)\n"
    )
    with pytest.raises(CafxError, match=r"net\.py:6: layer 'bad' \(Reshape\)"):
        Net(load_python(path))


def test_lines_are_never_written() -> None:
    n, _ = mismatched()
    assert "cafx_place" in str(n.__proto__())
    assert n.to_proto() == schema().parse_text(schema().to_text(n.__proto__()), "NetParameter")
    assert "cafx_place" not in n.to_text()
    good = NetSpec()
    good.data = L.Input(shape=[2])
    assert "cafx_place" not in str(Net(good).to_proto())


@pytest.mark.parametrize("source", [SolverSpec(base_lr=1), Blob((2,)), 3, None])
def test_a_net_of_something_else_is_refused(source: object) -> None:
    with pytest.raises(CafxError, match=r"a net is built from its definition: got .*NetSpec"):
        Net(source)


def test_a_solver_of_a_net_is_refused() -> None:
    with pytest.raises(CafxError, match=r"a solver is built from its definition: got NetParameter.*SolverSpec"):
        Solver(mismatched()[0])


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ([1, 3, 8, 8], {"dim": [1, 3, 8, 8]}),
        ([[2, 3], [2]], [{"dim": [2, 3]}, {"dim": [2]}]),
        ((2, 3), {"dim": [2, 3]}),
        (7, {"dim": [7]}),
        ([{"dim": [2]}, [3]], [{"dim": [2]}, {"dim": [3]}]),
    ],
)
def test_a_shape_is_a_list_of_lengths(short: object, long: object) -> None:
    assert L.DummyData(shape=short).to_proto() == L.DummyData(shape=long).to_proto()
    grouped = L.DummyData(dummy_data_param={"shape": short}).to_proto()
    assert grouped == L.DummyData(shape=long).to_proto()


def test_a_filler_is_a_name() -> None:
    data = L.Input(shape=[2, 3])
    short = L.InnerProduct(data, num_output=2, weight_filler="xavier", bias_filler="constant").to_proto()
    long = L.InnerProduct(
        data, num_output=2, weight_filler={"type": "xavier"}, bias_filler={"type": "constant"}
    ).to_proto()
    assert short == long
    two = L.DummyData(shape=[[2], [3]], data_filler=["constant", {"type": "uniform", "max": 2}], ntop=2)[0].to_proto()
    assert [each.type for each in two.layer[0].dummy_data_param.data_filler] == ["constant", "uniform"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: L.InnerProduct(L.Input(shape=[2]), weight_filler=3), r"weight_filler=3 .*expected \"xavier\" or dict"),
        (lambda: L.Input(shape="2"), r"shape='2' is not valid: expected \[1, 3, 8, 8\] or dict"),
        (lambda: L.Input(shape=[2, 3.5]), r"shape=3\.5 is not valid"),
        (lambda: L.Pooling(L.Input(shape=[2]), pool="AVG"), r"pool='AVG' is not valid; did you mean 'AVE'"),
        (lambda: L.InnerProduct(L.Input(shape=[2]), num_output="ten"), "num_output='ten' .*expected a whole number"),
    ],
)
def test_a_wrong_value_is_told_in_python_s_words(call: object, told: str) -> None:
    with pytest.raises(CafxError, match=told):
        call()  # type: ignore[operator]


def test_a_name_that_is_assigned_twice_is_told_with_both_lines(caplog: pytest.LogCaptureFixture) -> None:
    n = NetSpec()
    n.data = L.Input(shape=[2, 3])
    n.ip, first = L.InnerProduct(n.data, num_output=2), line()
    n.ip, second = L.ReLU(n.ip), line()
    assert [record.getMessage().split(":", 1)[1] for record in caplog.records] == [
        f"{second}: 'ip' is assigned again; the layer that {caplog.records[0].args[2]} assigned "
        "stays in the net under an automatic name"
    ]
    assert str(caplog.records[0].args[2]).endswith(f"{HERE}:{first}")
    caplog.clear()
    n.ip = L.InnerProduct(n.data, num_output=2)
    assert "is dropped unless another layer reads it" in caplog.text


def test_nothing_is_told_where_a_name_is_given_again_on_purpose(caplog: pytest.LogCaptureFixture) -> None:
    n = NetSpec()
    for _ in range(2):  # as a notebook's cell that runs again
        n.data = L.Input(shape=[2, 3])
    del n.data
    n.data = L.Input(shape=[2, 3])
    n.data = n.data
    for phase in ("TRAIN", "TEST"):
        with n.phase(phase):
            n.label = L.Input(shape=[2])
    assert caplog.text == ""


def test_a_loop_that_reads_its_own_name_is_told(caplog: pytest.LogCaptureFixture) -> None:
    n = NetSpec()
    n.top = L.Input(shape=[2, 3])
    for _ in range(2):
        n.top = L.ReLU(n.top)
    assert caplog.text.count("stays in the net under an automatic name") == 2


def test_two_layers_of_one_name_are_told(caplog: pytest.LogCaptureFixture) -> None:
    n = NetSpec()
    n.data = L.Input(shape=[2, 3])
    n.a = L.ReLU(n.data, name="same")
    n.b, at = L.TanH(n.data, name="same"), line()
    Net(n, engine="numpy")
    assert f"{HERE}:{at}: layer 'same' (TanH) has the name of another layer" in caplog.text


def test_representations() -> None:
    n = NetSpec("many")
    for index in range(9):
        n[f"x{index}"] = L.Input(shape=[2])
    assert repr(n) == "<NetSpec 'many': 9 tops (x0, x1, x2, x3, x4, x5, …)>"
    spec = SolverSpec(base_lr=0.1, lr_policy="fixed")
    assert repr(spec) == "SolverSpec(base_lr=0.1, lr_policy='fixed')"


NET_FILE = """
import cafx.dsl
from cafx.dsl import NetSpec, layers as L
from cafx.kernel import NeuronLayer

@cafx.dsl.layer
class Halve(NeuronLayer):
    '''y = x / 2.'''
    def forward(self, bottom, top):
        top[0].mutable_data[...] = bottom[0].data / 2

n = NetSpec()
n.x = L.Input(shape=[2])
n.y = L.Halve(n.x)
"""


@pytest.fixture
def halve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NetSpec]:
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "net.py").write_text(NET_FILE)
    yield load_python(tmp_path / "net.py")  # type: ignore[misc]
    registry().remove("layer", "Halve")


def test_a_layer_class_in_a_net_py(halve: NetSpec, tmp_path: Path) -> None:
    assert Net(halve, engine="numpy").forward(x=[1, 2])["y"].tolist() == [0.5, 1.0]
    assert local_layers(halve.to_proto()) == {"Halve": str(tmp_path / "net.py")}


def test_a_local_layer_may_be_defined_again_but_not_hide_an_installed_one(halve: NetSpec) -> None:
    again = cafx.dsl.layer(type("Halve", (NeuronLayer,), {"__doc__": "y = x."}))
    assert registry().load("layer", "Halve") is again
    with pytest.raises(CafxError, match=rf"{HERE}:\d+: layer type 'ReLU' is already provided by cafx-layer-relu"):
        cafx.dsl.layer(type("ReLU", (NeuronLayer,), {}))
    with pytest.raises(CafxError, match="expected a subclass of Layer"):
        cafx.dsl.layer(3)  # type: ignore[type-var]
