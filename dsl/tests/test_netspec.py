"""NetSpec: names, order, phases, and the emitted prototxt."""

from __future__ import annotations

import pytest

from cafx.dsl import NetSpec, to_proto
from cafx.dsl import layers as L
from cafx.kernel import TEST, TRAIN, CafxError, Net, schema


def small_net() -> NetSpec:
    n = NetSpec("small")
    n.data = L.Input(shape={"dim": [2, 3]})
    n.ip = L.InnerProduct(n.data, num_output=4)
    n.relu = L.ReLU(n.ip, in_place=True)
    n.out = L.InnerProduct(n.relu, num_output=2)
    return n


def names(proto):
    return [layer.name for layer in proto.layer]


def test_layers_are_named_after_attributes_and_ordered():
    proto = small_net().to_proto()
    assert names(proto) == ["data", "ip", "relu", "out"]
    assert proto.name == "small"


def test_an_in_place_layer_writes_its_bottom():
    relu, out = small_net().to_proto().layer[2:]
    assert list(relu.top) == list(relu.bottom) == ["ip"]
    assert list(out.bottom) == ["ip"]


def test_emitted_text_parses_to_the_same_net(tmp_path):
    n = small_net()
    assert str(n) == n.to_text()
    assert schema().parse_text(n.to_text(), "NetParameter") == n.to_proto()
    (tmp_path / "net.prototxt").write_text(n.to_text())
    assert Net(tmp_path / "net.prototxt").layer_names == ["data", "ip", "relu", "out"]


def test_tops_without_a_name_are_numbered_by_type():
    top = L.Input(shape={"dim": [2, 3]})
    for _ in range(2):
        top = L.ReLU(L.InnerProduct(top, num_output=3), in_place=True)
    proto = to_proto(top)
    assert names(proto) == ["Input1", "InnerProduct1", "ReLU1", "InnerProduct2", "ReLU2"]
    assert list(proto.layer[3].bottom) == ["InnerProduct1"]


def test_automatic_names_avoid_given_ones():
    n = NetSpec()
    n.ReLU1 = L.Input(shape={"dim": [2, 3]})
    n.out = L.InnerProduct(L.ReLU(n.ReLU1), num_output=1)
    assert names(n.to_proto()) == ["ReLU1", "ReLU2", "out"]


def test_unnamed_layers_are_emitted_before_their_readers():
    n = NetSpec()
    n.out = L.InnerProduct(L.ReLU(L.Input(shape={"dim": [2, 3]})), num_output=1)
    assert names(n.to_proto()) == ["Input1", "ReLU1", "out"]


def test_a_very_deep_net_is_emitted():
    top = L.Input(shape={"dim": [2, 3]})
    for _ in range(2000):
        top = L.ReLU(top)
    assert len(to_proto(top).layer) == 2001


def test_a_layer_with_several_tops_and_an_explicit_name():
    n = NetSpec()
    n.a, n["b/c"] = L.Input(shape=[{"dim": [1]}, {"dim": [2]}], ntop=2, name="inputs")
    layer = n.to_proto().layer[0]
    assert layer.name == "inputs"
    assert list(layer.top) == ["a", "b/c"]


def test_tops_and_bottoms_may_be_strings():
    n = NetSpec()
    n.data = L.Input(ntop=0, top=["data", "label"], shape={"dim": [1]})
    n.ip = L.InnerProduct(bottom="data", num_output=1)
    proto = n.to_proto()
    assert list(proto.layer[0].top) == ["data", "label"]
    assert list(proto.layer[1].bottom) == ["data"]


def phases() -> NetSpec:
    n = NetSpec()
    with n.phase("TRAIN"):
        n.data, n.label = L.Input(shape={"dim": [8, 3]}, ntop=2)
    with n.phase("TEST"):
        n.data, n.label = L.Input(shape={"dim": [5, 3]}, ntop=2)
    n.ip = L.InnerProduct(n.data, num_output=2)
    return n


def test_one_name_in_two_phases():
    net = phases().to_proto()
    assert names(net) == ["data", "data", "ip"]
    assert Net(net, TRAIN).blobs["data"].shape == (8, 3)
    assert Net(net, TEST).blobs["label"].shape == (5, 3)


def test_add_is_equivalent_to_phase_blocks():
    n = NetSpec()
    n.data, n.label = L.Input(shape={"dim": [8, 3]}, ntop=2, include={"phase": "TRAIN"})
    n.ip = L.InnerProduct(n.data, num_output=2)
    n.add(("data", "label"), L.Input(shape={"dim": [5, 3]}, ntop=2, include={"phase": "TEST"}))
    assert n.to_proto() == phases().to_proto()


def test_a_phase_block_extends_existing_rules():
    n = NetSpec()
    with n.phase("TEST", stage=["deploy"]):
        n.data = L.Input(shape={"dim": [1]}, include=[{"min_level": 1}, {"phase": "TRAIN"}])
    first, second = n.to_proto().layer[0].include
    assert (first.phase, first.min_level, list(first.stage)) == (TEST, 1, ["deploy"])
    assert (second.phase, list(second.stage)) == (TRAIN, ["deploy"])


def test_assigning_again_outside_a_phase_block_replaces():
    n = small_net()
    n.out = L.InnerProduct(n.ip, num_output=7)
    assert n.to_proto().layer[-1].inner_product_param.num_output == 7
    assert len(n.to_proto().layer) == 4


def test_options_can_be_changed_and_tops_removed_later():
    n = small_net()
    n.update("ip", {"num_output": 9})
    del n.out
    assert n.to_proto().layer[1].inner_product_param.num_output == 9
    assert "out" not in n
    assert list(n) == ["data", "ip", "relu"]


def test_a_top_may_have_the_name_of_a_method():
    n = NetSpec()
    n.add = L.Input(shape={"dim": [1]})
    n.phase = L.ReLU(n.add)
    assert names(n.to_proto()) == ["add", "phase"]


def test_fields_of_the_net():
    assert NetSpec("x", force_backward=True).to_proto().force_backward
    with pytest.raises(CafxError, match=r"force_backwards.*did you mean 'force_backward'"):
        NetSpec(force_backwards=True)


def test_the_error_for_an_unknown_top_has_line_and_suggestion():
    n = small_net()
    with pytest.raises(CafxError, match=r"test_netspec\.py:\d+: the net has no top 'rel'; did you mean 'relu'"):
        _ = n.rel
    with pytest.raises(KeyError):
        n["nothing"]
    assert not hasattr(n, "nothing")


def test_only_tops_can_be_named():
    n = NetSpec()
    for no_top in (3, None, "data", (), (n, n)):
        with pytest.raises(TypeError, match="value of 'data' is not a top"):
            n.data = no_top
    with pytest.raises(CafxError, match=r"a tuple of 2 tops.*name each"):
        n.add("data", (L.Input(shape={"dim": [1]}, ntop=2),))


def test_several_tops_of_one_name_are_refused_when_the_net_is_written():
    n = NetSpec()
    n["data"] = L.Input(shape=[{"dim": [4, 3]}, {"dim": [4]}], ntop=2)
    with pytest.raises(CafxError, match=r"value of 'data' is not a top: got a tuple of 2 tops; name each"):
        n.to_proto()
    n.data, n.label = n["data"]
    n.ip = L.InnerProduct(n.data, num_output=2)
    assert [layer.name for layer in n.to_proto().layer] == ["data", "ip"]
    assert (n.keys(), n.values()[0], n.items()[1]) == (["data", "label", "ip"], n.data, ("label", n.label))
    n.keys = L.ReLU(n.ip)
    assert n.to_proto().layer[2].name == "keys"


def test_several_tops_may_have_one_name_for_the_moment_in_a_phase_block():
    n = NetSpec()
    for phase in ("TRAIN", "TEST"):
        with n.phase(phase):
            n["data"] = L.Input(shape=[{"dim": [4, 3]}, {"dim": [4]}], ntop=2)
            n.data, n.label = n["data"]
    assert [layer.include[0].phase for layer in n.to_proto().layer] == [0, 1]


def test_a_bottom_that_is_no_top_is_a_type_error():
    with pytest.raises(TypeError, match="bottom 0 is not a top"):
        L.ReLU("data")
    with pytest.raises(TypeError, match="ntop=2"):
        _, _ = L.Input(shape={"dim": [1]})
