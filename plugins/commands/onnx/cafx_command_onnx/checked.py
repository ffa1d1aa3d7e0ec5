"""``cafx onnx check``: a net and an ONNX model side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import (
    FILE,
    EngineChoice,
    engine_options,
    json_option,
    quiet_option,
    split_commas,
    state_options,
    trust_option,
    weights_option,
)
from cafx_command_onnx.deploy import Shapes, deploy_net, shape_option

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cafx.kernel import Net

SMALLEST_SCALE = 1e-2
"""Arrays with smaller values are compared as if this were their largest value."""
STANDARD_DEVIATION = 50.0
"""Of random images, about that of pixels."""
IMAGE_AXES = 4
MOST_SHOWN = 20


@click.command()
@click.argument("net", type=FILE)
@click.argument("model", type=FILE)
@weights_option
@shape_option
@click.option("--input", "-i", "given", multiple=True, metavar="BLOB=FILE.npy", help="Values to run on (repeatable).")
@click.option("--runs", type=click.IntRange(0), default=2, show_default=True, help="Number of runs on random values.")
@click.option(
    "--tolerance", type=click.FloatRange(0), default=1e-4, show_default=True, help="Of a blob's largest value."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random values.")
@engine_options
@state_options(None)
@trust_option
@json_option
@quiet_option
@click.pass_obj
def check(
    settings: Any,
    net: str,
    model: str,
    weights: tuple[str, ...],
    shapes: Shapes,
    given: tuple[str, ...],
    runs: int,
    tolerance: float,
    seed: int,
    engine: EngineChoice,
    level: int,
    stage: tuple[str, ...],
    trust: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run NET here and MODEL in onnxruntime on the same values, and print the largest difference by blob.

    Exits with status 1 if a difference exceeds the tolerance, relative to the blob's largest value.

    \b
    Example:
    cafx onnx check deploy.prototxt net.onnx -w net.caffemodel --input data=cat.npy
    """
    from cafx.kernel import CafxError
    from cafx_lib_onnx import Session, read_model, require_runtime, with_outputs

    require_runtime()
    definition = settings.definition(net, "TEST", level=level, stage=stage)
    chosen = engine.keywords()
    built = deploy_net(definition, split_commas(weights), shapes, trust=trust, keep="all", **chosen)
    session = Session(with_outputs(read_model(model), set(built.blobs)))
    _check_inputs(built, session, model)
    rows: dict[str, dict[str, Any]] = {}
    for inputs in _runs(built, given, runs, seed, session):
        _compare(built, session.run(inputs), inputs, rows)
    if not rows:
        raise CafxError("no blob of the net is a value of the model", where=model)
    worst = max(rows.values(), key=lambda row: row["relative"])
    agrees = worst["relative"] <= tolerance
    _tell(rows, worst, agrees, tolerance, as_json, quiet)
    if not agrees:
        raise click.exceptions.Exit(1)


def _check_inputs(net: Net, session: Any, model: str) -> None:
    from cafx.kernel import CafxError

    foreign = [name for name in session.inputs if name not in net.inputs]
    if foreign:
        expected = ", ".join(net.inputs)
        raise CafxError("an input of the model is none of the net's", where=model, found=foreign[0], expected=expected)


Values = dict[str, "npt.NDArray[np.float32]"]


def _runs(net: Net, given: tuple[str, ...], runs: int, seed: int, session: Any) -> Iterator[Values]:
    """The inputs of each run: those from files, then random ones, the last with another batch size if it is open."""
    import numpy as np

    rng = np.random.default_rng(seed)
    if given:
        yield {**_random(net, rng), **dict(_read(text, net) for text in given)}
    for run in range(runs):
        inputs = _random(net, rng)
        if run and run == runs - 1:
            inputs = _with_another_item(inputs, session)
        yield inputs


def _with_another_item(inputs: Values, session: Any) -> Values:
    """The inputs with a batch that is one larger, if the model leaves its size open."""
    import numpy as np

    first = session.inputs[0]
    if not session.shapes[first] or isinstance(session.shapes[first][0], int):
        return inputs
    size = len(inputs[first])
    return {
        name: np.concatenate([each, each[:1]]) if each.ndim and len(each) == size else each
        for name, each in inputs.items()
    }


def _random(net: Net, rng: Any) -> Values:
    """Random values for each input: whole numbers where a layer reads labels or indices."""
    import numpy as np

    whole = {
        bottom.name.split("_split_")[0]
        for layer, bottoms in zip(net.layers, net.bottoms, strict=True)
        for index, bottom in enumerate(bottoms)
        if index in layer.integer_bottoms
    }
    values = {}
    for name in net.inputs:
        shape = net.blobs[name].shape
        scale = STANDARD_DEVIATION if len(shape) == IMAGE_AXES else 1
        is_whole = any(each == name or each.startswith(f"{name}_") for each in whole)
        drawn = rng.integers(0, 2, shape) if is_whole else rng.standard_normal(shape) * scale
        values[name] = np.asarray(drawn, np.float32)
    return values


def _read(text: str, net: Net) -> tuple[str, Any]:
    """A value from a ``.npy`` file."""
    import numpy as np

    from cafx.kernel import CafxError

    name, _, path = text.partition("=")
    if name not in net.inputs or not path:
        expected = " or ".join(f"{each}=FILE.npy" for each in net.inputs)
        raise CafxError("--input: not an input of the net and a file", found=text, expected=expected)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        values = np.array(array, np.float32)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise CafxError(f"cannot be read: {error}", where=path, expected="an array of numbers, as .npy") from None
    shape = net.blobs[name].shape
    values = values[None] if values.ndim == len(shape) - 1 else values
    if values.shape[1:] != shape[1:] or values.ndim != len(shape):
        found, expected = ("×".join(map(str, each)) for each in (values.shape, shape))
        raise CafxError(f"does not have the shape of input '{name}'", where=path, found=found, expected=expected)
    return name, values


def _compare(net: Net, results: dict[str, Any], inputs: Values, rows: dict[str, dict[str, Any]]) -> None:
    """Run the net, and add to ``rows`` the largest difference of each blob."""
    import numpy as np

    net.forward(**{name: values for name, values in inputs.items() if name in net.inputs})
    for name, blob in net.blobs.items():
        if name not in results:
            continue
        ours, theirs = blob.host(), results[name]
        row = rows.setdefault(name, {"blob": name, "shape": list(ours.shape), "difference": 0.0, "relative": 0.0})
        if ours.shape != theirs.shape:
            row.update(difference=float("inf"), relative=float("inf"), shape=[list(ours.shape), list(theirs.shape)])
            continue
        if not ours.size:
            continue
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        gap = float(np.abs(np.where(same, 0, ours.astype(np.float64) - theirs)).max())
        gap = gap if gap == gap else float("inf")
        scale = max(float(np.abs(ours[np.isfinite(ours)]).max(initial=0)), SMALLEST_SCALE)
        row["difference"] = max(row["difference"], gap)
        row["relative"] = max(row["relative"], gap / scale)


def _tell(rows: Any, worst: Any, agrees: bool, tolerance: float, as_json: bool, quiet: bool) -> None:
    if as_json:
        finite = [{**row, **{key: _json(row[key]) for key in ("difference", "relative")}} for row in rows.values()]
        click.echo(json.dumps({"agrees": agrees, "tolerance": tolerance, "worst": worst["blob"], "blobs": finite}))
        return
    if not quiet:
        _print_table(rows)
    verb = "agree" if agrees else "DIFFER"
    click.echo(
        f"{len(rows)} blobs {verb}: largest difference {worst['difference']:.3g} at '{worst['blob']}', "
        f"{worst['relative']:.2g} of its largest value (tolerance {tolerance:g})"
    )


def _json(value: float) -> float | str:
    return value if value < float("inf") else "infinite"


def _print_table(rows: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table

    from cafx.cli.terminal import console

    table = Table("blob", "shape")
    for title in ("largest difference", "relative"):
        table.add_column(title, justify="right")
    for row in rows.values():
        shape = row["shape"]
        text = " / ".join("×".join(map(str, each)) for each in shape) if shape and isinstance(shape[0], list) else None
        text = "×".join(map(str, shape)) if text is None else text
        table.add_row(row["blob"], text, f"{row['difference']:.3g}", f"{row['relative']:.2g}")
    console().print(table, markup=False)
