"""Checks of values: at once on the host; on a device where results are read, and without harm until then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.conformance.device import DeviceModule
from cafx.conformance.device_engine import DeviceEngine
from cafx.conformance.strict import host_reads, strict
from cafx.kernel import CafxError, Net, Phase, registry, schema
from cafx.kernel.net import Checks

NETS = {
    "SoftmaxWithLoss": ("", "a label is not a class index"),
    "HingeLoss": ("", "a label is not a class index"),
    "MultinomialLogisticLoss": ("", "a label is not a class index"),
    "Accuracy": ("", "a label is not a class index"),
    "Embed": ("embed_param { input_dim: 4 num_output: 3 }", "index out of range"),
    "BatchReindex": ("", "index out of range"),
}
"""Layers that read labels or indices below 4."""


def net_with(type_name: str, engine: Any) -> Net:
    options, _ = NETS[type_name]
    bottoms = 'bottom: "x"' if type_name != "Embed" else ""
    text = f"""
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 4 dim: 4 }} }} }}
    layer {{ name: "labels" type: "Input" top: "labels" input_param {{ shape {{ dim: 4 }} }} }}
    layer {{ name: "subject" type: "{type_name}" {bottoms} bottom: "labels" top: "y" {options} }}"""
    net = Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine=engine, seed=1)
    net.blobs["x"].set_data(np.full((4, 4), 0.25))
    return net


@pytest.mark.parametrize("wrong", [4.0, -1.0, 1e9, np.nan])
@pytest.mark.parametrize("type_name", NETS)
def test_a_value_out_of_range_is_an_error_at_once_on_the_host(type_name: str, wrong: float) -> None:
    net = net_with(type_name, "numpy")
    net.blobs["labels"].set_data([0, 1, wrong, 3])
    with np.errstate(invalid="ignore"), pytest.raises(CafxError, match=NETS[type_name][1]):
        net.run_forward()


@pytest.mark.parametrize("wrong", [4.0, -1.0, 1e9, np.nan])
@pytest.mark.parametrize("type_name", NETS)
def test_on_a_device_it_is_an_error_where_results_are_read(type_name: str, wrong: float) -> None:
    net = net_with(type_name, DeviceEngine(registry()))
    for labels in ([0, 1, wrong, 3], [0, 1, 2, 3]):
        net.blobs["labels"].set_data(labels)
        before = host_reads.count
        with np.errstate(invalid="ignore"):
            net.run_forward()
            net.run_backward()
        assert host_reads.count == before
    with pytest.raises(CafxError, match=NETS[type_name][1]) as caught:
        net.loss  # noqa: B018 - reading is what raises
    assert "subject" in str(caught.value)
    assert f"{wrong:g}" in str(caught.value), "the value that was wrong, though later ones are right"
    assert net.loss == net.loss, "an error is raised once"


@pytest.mark.parametrize("type_name", NETS)
def test_outputs_are_not_handed_out_after_a_failed_check(type_name: str) -> None:
    net = net_with(type_name, DeviceEngine(registry()))
    with pytest.raises(CafxError, match=NETS[type_name][1]):
        net.forward(labels=[0, 1, 5, 3])
    assert np.isfinite(net.forward(labels=[0, 1, 2, 3])["y"]).all()


def test_ignored_labels_pass_on_a_device() -> None:
    net = net_with("SoftmaxWithLoss", DeviceEngine(registry()))
    net.layers[-1].ignored = 255
    net.forward(labels=[0, 255, 2, 3])


def test_a_flag_on_a_device_is_remembered_until_it_is_verified() -> None:
    xp = DeviceModule()
    checks = Checks(DeviceEngine.place, xp)
    flags = [xp.asarray(value) for value in (True, False, True)]
    with strict("a test"):
        for flag in flags:
            checks.require(flag, lambda: CafxError("not so"), "layer: flag")
    with pytest.raises(CafxError, match="not so"):
        checks.verify()
    checks.verify()


def test_a_flag_known_on_the_host_is_checked_at_once() -> None:
    checks = Checks(DeviceEngine.place, DeviceModule())
    checks.require(True, lambda: CafxError("not so"), "layer: flag")
    with pytest.raises(CafxError, match="not so"):
        checks.require(False, lambda: CafxError("not so"), "layer: flag")


def test_the_first_check_of_a_net_that_failed_is_the_one_reported() -> None:
    xp = DeviceModule()
    checks = Checks(DeviceEngine.place, xp)
    for key in ("early", "late"):
        checks.require_range(xp.asarray([2.0]), -1, 2, lambda low, high, key=key: CafxError(key), key)  # type: ignore[misc]
    with pytest.raises(CafxError, match="early"):
        checks.verify()
