"""``cafx onnx export``: a net as an ONNX model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import FILE, json_option, quiet_option, split_commas, state_options, trust_option, weights_option
from cafx_command_onnx.deploy import Shapes, deploy_net, shape_option
from cafx_lib_inputs.options import preprocessing_options

if TYPE_CHECKING:
    from cafx.kernel import Net
    from cafx_lib_onnx import Exported
    from cafx_lib_preprocessing import Preprocessing

IMAGE_AXES = 4


@click.command()
@click.argument("net", type=FILE)
@click.argument("out", type=FILE)
@weights_option
@shape_option
@click.option("--fixed-batch", is_flag=True, help="Fix the batch size instead of leaving it open.")
@click.option("--opset", type=click.IntRange(18, 21), default=18, show_default=True, help="Version of the operators.")
@click.option("--allow-custom", is_flag=True, help="Export layers without ONNX form as operators of domain 'cafx'.")
@click.option(
    "--detection",
    type=click.Choice(["raw", "nms"]),
    default="nms",
    show_default=True,
    help="DetectionOutput: boxes and scores as they are, or the remaining boxes.",
)
@click.option("--external-data", is_flag=True, help="Weights in a file of their own, as above 2 GB in any case.")
@click.option(
    "--bake-preprocess", is_flag=True, help="Channel order, mean and scale in the model: it takes RGB, 0 to 255."
)
@preprocessing_options("antialias")
@state_options(None)
@trust_option
@json_option
@quiet_option
@click.pass_obj
def export(
    settings: Any,
    net: str,
    out: str,
    weights: tuple[str, ...],
    shapes: Shapes,
    fixed_batch: bool,
    opset: int,
    allow_custom: bool,
    detection: str,
    external_data: bool,
    bake_preprocess: bool,
    preprocessing: Any,
    level: int,
    stage: tuple[str, ...],
    trust: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write NET, in TEST phase and with its weights, as the ONNX model OUT.

    Data layers become inputs, labels and losses are left out (the Softmax of a SoftmaxWithLoss stays), Dropout and
    Split disappear. How images become the input is written to the model's metadata.

    \b
    Example:
    cafx onnx export deploy.prototxt net.onnx -w net.caffemodel --mean 104,117,123
    """
    from cafx_lib_onnx import export_net, save_model

    definition = settings.definition(net, "TEST", level=level, stage=stage)
    built = deploy_net(definition, split_commas(weights), shapes, engine="numpy", trust=trust)
    exported = export_net(
        built, symbolic=not fixed_batch, allow_custom=allow_custom, opset=opset, settings={"detection": detection}
    )
    notes = list(exported.notes)
    if not weights and built.params:
        notes.append("no weights are given: the model has those of the fillers")
    notes += _preprocess(exported, built, preprocessing, net, bake_preprocess)
    files = save_model(exported.model, out, external=external_data or None)
    _tell(exported, files, notes, as_json, quiet)


def _preprocess(exported: Exported, net: Net, given: Any, path: str, baked: bool) -> list[str]:
    """Write how images become the input, if the model has an input of images; returns notices."""
    import attrs

    from cafx.kernel import CafxError
    from cafx_lib_onnx import bake, describe
    from cafx_lib_preprocessing import read_mean

    names = [each.name for each in exported.model.graph.input]
    images = [name for name in names if len(net.blobs[name].shape) == IMAGE_AXES]
    record = _record(given(), path)
    if not images or (record.layout == "CHW" and net.blobs[images[0]].shape[1] not in (1, 3)):
        if baked:
            raise CafxError("--bake-preprocess: the model has no input of images", found=", ".join(names))
        return []
    record = record.for_input(net.blobs[images[0]].shape, path)
    shape = net.blobs[images[0]].shape[1:]
    mean = read_mean(record.mean, shape) if isinstance(record.mean, str) else record.mean
    image = mean if getattr(mean, "ndim", 0) == 3 and mean.shape[1:] != (1, 1) else None
    if baked:
        values = read_mean(",".join(map(str, mean)), shape) if isinstance(mean, tuple) else mean
        bake(exported.model, images[0], record, values)
        channels = "RGB" if record.channels == "BGR" else record.channels
        record, image = attrs.evolve(record, mean=None, scale=1.0, channels=channels), None
    describe(exported.model, record, image)
    notes = [f"preprocessing: {record.describe()}"]
    if image is not None:
        notes.append("the metadata have the mean image's average per channel: --bake-preprocess keeps the image")
    return notes


def _record(given: Preprocessing, path: str) -> Preprocessing:
    """The record on the command line, over that of the net's data layer."""
    import attrs

    from cafx.kernel import CafxError
    from cafx_lib_preprocessing import Preprocessing
    from cafx_lib_preprocessing.reading import from_net

    default = Preprocessing()
    try:
        known = from_net(path)
    except CafxError:
        return given
    changed = [field.name for field in attrs.fields(Preprocessing)]
    said = {name: getattr(given, name) for name in changed if getattr(given, name) != getattr(default, name)}
    return attrs.evolve(known, **said)


def _tell(exported: Exported, files: list[Path], notes: list[str], as_json: bool, quiet: bool) -> None:
    graph = exported.model.graph
    inputs, outputs = ({each.name: _shape_of(each) for each in values} for values in (graph.input, graph.output))
    sizes = {str(path): path.stat().st_size for path in files}
    if as_json:
        result = {"files": sizes, "inputs": inputs, "outputs": outputs, "nodes": len(graph.node), "notes": notes}
        click.echo(json.dumps(result))
        return
    if not quiet:
        for note in notes:
            click.echo(note, err=True)
    shown = {kind: ", ".join(f"{k} {v}" for k, v in each.items()) for kind, each in (("in", inputs), ("out", outputs))}
    for path, size in sizes.items():
        click.echo(f"{path}: {size:,} bytes")
    click.echo(f"{len(graph.node)} nodes; inputs: {shown['in']}; outputs: {shown['out']}")


def _shape_of(value: Any) -> str:
    dims = value.type.tensor_type.shape.dim
    return "×".join(dim.dim_param or str(dim.dim_value) for dim in dims) or "scalar"
