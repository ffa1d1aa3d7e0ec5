"""``cafx onnx import``: an ONNX model as a net and its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import FILE, json_option, quiet_option

if TYPE_CHECKING:
    from cafx.kernel import Net

LISTED_TYPES = 8


@click.command("import")
@click.argument("model", type=FILE)
@click.argument("out", metavar="OUT", type=click.Path(), required=False)
@click.option(
    "--batch", type=click.IntRange(1, 1 << 16), default=1, show_default=True, help="Batch size where it is open."
)
@json_option
@quiet_option
def import_(model: str, out: str | None, batch: int, as_json: bool, quiet: bool) -> None:
    """Convert MODEL.onnx to OUT.prototxt and OUT.caffemodel (by default beside it), a net that trains.

    BatchNormalization becomes BatchNorm and Scale; what the model leaves open becomes the batch size. Nodes that no
    layer computes are listed all at once.

    \b
    Example:
    cafx onnx import resnet18.onnx resnet18
    """
    from cafx.kernel import CafxError
    from cafx.kernel.files import shown
    from cafx_lib_onnx import import_model, properties_of, read_model

    prefix = Path(out.removesuffix(".prototxt").removesuffix(".caffemodel")) if out else Path(model).with_suffix("")
    if out is None:
        _refuse_to_overwrite(prefix)
    read = read_model(model)
    try:
        imported = import_model(read, batch=batch)
        net = imported.build(engine="numpy")
    except CafxError as error:
        raise error.at(shown(model)) from None
    paths = _write(net, imported.proto, prefix)
    record = properties_of(read).get("preprocessing")
    notes = [f"preprocessing: {record}"] if record else []
    _tell(net, paths, notes, as_json, quiet)


def _files(prefix: Path) -> list[Path]:
    return [prefix.with_name(f"{prefix.name}.{ending}") for ending in ("prototxt", "caffemodel")]


def _refuse_to_overwrite(prefix: Path) -> None:
    """A net beside the model may be the one that it was exported from."""
    from cafx.kernel import CafxError
    from cafx.kernel.files import shown

    for path in _files(prefix):
        if path.exists():
            raise CafxError(
                "already exists", where=shown(path), remedy="name the output: cafx onnx import MODEL.onnx OUT"
            )


def _write(net: Net, proto: Any, prefix: Path) -> list[Path]:
    """Write the net's text and its weights; returns the files."""
    from google.protobuf import text_format

    from cafx.kernel.files import atomic_write

    text, weights = _files(prefix)
    with atomic_write(text) as file:
        file.write(text_format.MessageToString(proto, as_utf8=True).encode("utf-8"))
        if net.params:
            net.save(weights)
    return [text, weights] if net.params else [text]


def _tell(net: Net, paths: list[Path], notes: list[str], as_json: bool, quiet: bool) -> None:
    types: dict[str, int] = {}
    for layer in net.layers:
        types[layer.type] = types.get(layer.type, 0) + 1
    parameters = sum(blob.count_ for blobs in net.params.values() for blob in blobs)
    if as_json:
        files = [str(path) for path in paths]
        result = {
            "files": files,
            "layers": types,
            "parameters": parameters,
            "inputs": net.inputs,
            "outputs": net.outputs,
        }
        click.echo(json.dumps({**result, "notes": notes}))
        return
    for note in [] if quiet else notes:
        click.echo(note, err=True)
    for path in paths:
        click.echo(str(path))
    often = sorted(types, key=lambda each: -types[each])
    shown = ", ".join(f"{types[each]} {each}" for each in often[:LISTED_TYPES])
    more = f" and {len(often) - LISTED_TYPES} other types" if len(often) > LISTED_TYPES else ""
    click.echo(f"{len(net.layers)} layers: {shown}{more}; {parameters:,} parameters")
