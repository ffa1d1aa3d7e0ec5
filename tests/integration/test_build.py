"""Built nets equal Caffe's: layers, splits, shapes, parameter owners, multipliers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cafx.kernel import CafxError, Net, Phase, registry
from cafx.kernel.blob import Blob
from cafx.kernel.net import learnable, read_net

MULTIPLIER_DIGITS = 6


@pytest.fixture(autouse=True)
def unfilled_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the fillers: only shapes are compared, and some nets are large."""
    monkeypatch.setattr("cafx.kernel.net.layer.fill", lambda *_: None)


@pytest.mark.slow
@pytest.mark.shared_files("golden/build/*.json")
def test_built_nets_equal_caffe_s(shared_file: Path, shared: Path, require_plugins: Callable[[Path], None]) -> None:
    case = json.loads(shared_file.read_text())
    prototxt = source_of(shared_file, case["source"], shared)
    if not prototxt.exists():
        pytest.skip(f"{prototxt.name} of {case['source']} is not in the reference data")
    require_plugins(prototxt)
    definition = read_net(prototxt, registry()).proto
    for replaced in case.get("replaced_data_layers", ()):
        replace_by_input(definition.layer[replaced["layer_index"]], replaced)
    for run in case["runs"]:
        check_run(definition, run)


def source_of(case: Path, source: str, shared: Path) -> Path:
    """The prototxt of a case: beside it, or a public one named ``github:owner/repo:path``."""
    if source == "own":
        return case.with_suffix(".prototxt")
    _, repository, path = source.split(":", 2)
    return shared / "prototxt" / repository / path


def replace_by_input(layer: Any, replaced: dict[str, Any]) -> None:
    """Turn a data layer into an Input layer with the same tops and rules and the given shapes."""
    substitute = type(layer)(name=layer.name, type="Input", top=replaced["tops"])
    substitute.include.extend(layer.include)
    substitute.exclude.extend(layer.exclude)
    for shape in replaced["shapes"]:
        substitute.input_param.shape.add().dim.extend(shape)
    layer.CopyFrom(substitute)


def check_run(definition: Any, run: dict[str, Any]) -> None:
    """Build for one phase, level and set of stages, and compare all facts of the reference."""
    arguments = run["args"]
    if "error" in run:
        with pytest.raises(CafxError):
            build(definition, arguments)
        return
    facts = facts_of(build(definition, arguments))
    assert [layer["name"] for layer in facts["layers"]] == [layer["name"] for layer in run["layers"]]
    for layer, expected in zip(facts["layers"], run["layers"], strict=True):
        assert layer == expected, f"layer {expected['name']} in {arguments}"
    for fact, value in facts.items():
        assert value == run[fact], f"{fact} in {arguments}"


def build(definition: Any, arguments: dict[str, Any]) -> Net:
    """The net for one phase, level and set of stages."""
    state = {"level": arguments.get("level", 0), "stages": arguments.get("stages", ())}
    return Net(definition, Phase[arguments["phase"]], engine="numpy", **state)


def facts_of(net: Net) -> dict[str, Any]:
    """The facts that the reference states about a net."""
    parameters = net.parameters
    owners = [-1 if each.owner is None else parameters.index(each.owner) for each in parameters]
    learned = learnable(parameters)
    return {
        "name": net.name,
        "layers": [layer_facts(net, index) for index in range(len(net.layers))],
        "blobs": [[blob.name, list(blob.shape)] for blob in all_blobs(net)],
        "inputs": net.inputs,
        "outputs": net.outputs,
        "param_owners": owners,
        "param_display_names": [each.name for each in parameters],
        "learnable_param_shapes": [list(blob.shape) for blob in (each.blob for each in learned)],
        "lr_mult": [rounded(each.multipliers[0]) for each in learned],
        "decay_mult": [rounded(each.multipliers[1]) for each in learned],
    }


def layer_facts(net: Net, index: int) -> dict[str, Any]:
    """The facts that the reference states about a layer."""
    layer, planned = net.layers[index], net.program.plan.layers[index]
    return {
        "name": layer.name,
        "type": layer.type,
        "bottom": [blob.name for blob in net.bottoms[index]],
        "top": [blob.name for blob in net.tops[index]],
        "need_backward": planned.needs_backward,
        "bottom_need_backward": list(planned.propagate_down),
        "loss_weight": [rounded(weight) for weight in planned.loss_weights],
        "params": [list(blob.shape) for blob in layer.blobs],
    }


def all_blobs(net: Net) -> list[Blob]:
    """Every blob once, in order of creation."""
    return list({id(blob): blob for tops in net.tops for blob in tops}.values())


def rounded(value: float) -> float:
    """A float32 with the digits that the reference prints."""
    return float(f"{value:.{MULTIPLIER_DIGITS}g}")
