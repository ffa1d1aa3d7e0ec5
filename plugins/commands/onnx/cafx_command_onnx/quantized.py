"""``cafx onnx quantize``: a net as an ONNX model in int8."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import FILE, json_option, quiet_option, split_commas, state_options, trust_option, weights_option
from cafx_command_onnx.deploy import Shapes, deploy_net, shape_option
from cafx_lib_inputs.options import preprocessing_options, tell

if TYPE_CHECKING:
    from cafx_command_onnx.feeding import Feed

IMAGE_AXES = 4
METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}


@click.command()
@click.argument("net", type=FILE)
@click.argument("out", type=FILE)
@weights_option
@shape_option
@click.option(
    "--calibrate", type=click.IntRange(1), default=128, show_default=True, metavar="N", help="Items to calibrate on."
)
@click.option(
    "--test", "tested", type=click.IntRange(1), default=1000, show_default=True, metavar="N", help="Items to score."
)
@click.option(
    "--images", multiple=True, metavar="PATH", help="Images, or folders of them, for a net without data layer."
)
@click.option(
    "--method", type=click.Choice(list(METHODS)), default="minmax", show_default=True, help="How ranges are found."
)
@preprocessing_options("antialias")
@state_options(None)
@trust_option
@json_option
@quiet_option
@click.pass_obj
def quantize(
    settings: Any,
    net: str,
    out: str,
    weights: tuple[str, ...],
    shapes: Shapes,
    calibrate: int,
    tested: int,
    images: tuple[str, ...],
    method: str,
    preprocessing: Any,
    level: int,
    stage: tuple[str, ...],
    trust: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write NET with its weights as the ONNX model OUT in int8, and compare it with float32.

    Values are quantized statically (QDQ), weights per channel. The ranges come from the net's own data layer, that of
    TRAIN phase if its data are there, or from --images. Accuracy is that of the labels of the data layer; without
    labels, how often int8 and float32 agree on the largest output.

    \b
    Example:
    cafx onnx quantize train_val.prototxt int8.onnx -w net.caffemodel --calibrate 200
    """
    from cafx.kernel import CafxError
    from cafx_command_onnx.feeding import feed_of_images, feed_of_net
    from cafx_lib_onnx import export_net, require_runtime

    require_runtime()
    if not weights:
        raise click.UsageError("Quantizing needs trained weights: --weights FILE.")
    definition = settings.definition(net, "TEST", level=level, stage=stage)
    built = deploy_net(definition, split_commas(weights), shapes, engine="numpy", trust=trust)
    exported = export_net(built)
    inputs = [each.name for each in exported.model.graph.input]
    if images:
        record = preprocessing()
        tell(record, quiet or as_json)
        scored = calibrated = feed_of_images(images, inputs[0], built.blobs[inputs[0]].shape, record)
    else:
        found = feed_of_net(definition)
        if found is None:
            expected = "a net with a data layer, as in a train_val.prototxt, or --images"
            raise CafxError("nothing to calibrate with", where=net, expected=expected)
        scored = calibrated = found
        calibrated = _training_feed(settings, net, level, stage) or scored
    with tempfile.TemporaryDirectory() as folder:
        rows = _quantize(
            exported.model, Path(folder), Path(out), calibrated, scored, calibrate, tested, METHODS[method]
        )
    _tell(rows, out, as_json)


def _training_feed(settings: Any, net: str, level: int, stage: tuple[str, ...]) -> Feed | None:
    """The data of TRAIN phase; None if they are not there."""
    from cafx.kernel import CafxError
    from cafx_command_onnx.feeding import feed_of_net

    try:
        return feed_of_net(settings.definition(net, "TRAIN", level=level, stage=stage))
    except CafxError:
        return None


def _quantize(
    model: Any, folder: Path, out: Path, calibrated: Feed, scored: Feed, count: int, tested: int, method: str
) -> dict[str, Any]:
    """Quantize a model, write it and score both; returns what is printed."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from cafx.kernel.files import atomic_write
    from cafx_lib_onnx import Session

    plain, prepared, result = (folder / f"{name}.onnx" for name in ("plain", "prepared", "int8"))
    onnx.save(model, plain)
    names = [each.name for each in model.graph.input]
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    with calibrated.batches(count) as batches:
        quantization.quantize_static(
            str(prepared),
            str(result),
            _reader(batches, names),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=getattr(quantization.CalibrationMethod, method),
        )
    small = onnx.load(result)
    small.metadata_props.extend(each for each in model.metadata_props if each not in small.metadata_props)
    content = small.SerializeToString()
    with atomic_write(out) as file:
        file.write(content)
    rows = _score([Session(plain), Session(out)], scored, tested, names)
    for row, path in zip(rows["models"], (plain, out), strict=True):
        row["bytes"] = path.stat().st_size
    return rows


def _reader(batches: Iterator[Any], names: list[str]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands one batch after another to onnxruntime."""

        def get_next(self) -> Any:
            batch = next(batches, None)
            return None if batch is None else {name: batch[name] for name in names}

    return Reader()


def _score(sessions: list[Any], feed: Feed, tested: int, names: list[str]) -> dict[str, Any]:
    """Accuracy and speed of the models, and how often they agree."""
    import numpy as np

    right, seconds, agreed, count = [0] * len(sessions), [0.0] * len(sessions), 0, 0
    labelled = False
    with feed.batches(tested) as batches:
        for number, batch in enumerate(batches):
            inputs = {name: batch[name] for name in names}
            size = len(batch[names[0]])
            labels = next(
                (each.reshape(-1) for name, each in batch.items() if name not in names and each.size == size), None
            )
            labelled = labels is not None
            classes = []
            for index, session in enumerate(sessions):
                if not number:
                    session.run(inputs)  # the first run prepares memory
                start = time.perf_counter()
                outputs = session.run(inputs)
                seconds[index] += time.perf_counter() - start
                classes.append(_classes(outputs, size))
                right[index] += int((classes[-1] == labels).sum()) if labelled else 0
            agreed += int((classes[0] == np.asarray(classes[1])).sum())
            count += size
    rows = [
        {"type": name, "accuracy": ours / count if labelled else None, "images_per_second": count / took}
        for name, ours, took in zip(("float32", "int8"), right, seconds, strict=True)
    ]
    return {"items": count, "agreement": agreed / count, "models": rows}


def _classes(outputs: dict[str, Any], size: int) -> Any:
    """The class of the largest value of the last output with one row per item."""
    rows = [each.reshape(size, -1) for each in outputs.values() if each.ndim > 1 and len(each) == size]
    if not rows:
        from cafx.kernel import CafxError

        raise CafxError("the model has no output with one row per item")
    return rows[-1].argmax(axis=1)


def _tell(rows: dict[str, Any], out: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"file": out, **rows}))
        return
    from rich.table import Table

    from cafx.cli.terminal import console

    table = Table("")
    for title in ("accuracy", "bytes", "images/s"):
        table.add_column(title, justify="right")
    for row in rows["models"]:
        accuracy = "–" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        table.add_row(row["type"], accuracy, f"{row['bytes']:,}", f"{row['images_per_second']:.0f}")
    console().print(table)
    click.echo(f"{out}: the same class for {rows['agreement']:.2%} of {rows['items']} items")
