"""``cafx weights``: statistics and pictures of a weights file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from cafx.cli.options import json_option
from cafx.kernel import CafxError, registry
from cafx.kernel.blob import shape_text
from cafx.kernel.net import LayerWeights, read_weights
from cafx_lib_pictures import image_grid, matplotlib, save_figure

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

Values = npt.NDArray[Any]
DPI = 100
NARROW = 110
"""Width below which values share cells."""
MIN_PICTURE_SIDE = 640
"""Pictures are enlarged by a whole factor to about this many pixels."""
_WIDE = [(name,) for name in ("layer", "type", "blob", "shape", "values", "mean", "std", "min", "max", "zeros")]
_NARROW = [("layer", "type"), ("blob",), ("shape", "values"), ("mean", "std"), ("min", "max"), ("zeros",)]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@json_option
@click.option("--filters", metavar="OUT.png", help="Write a picture of the filters of a convolution.")
@click.option("--layer", metavar="NAME", help="Layer of the filters (default: the first that has any).")
def weights(file: str, as_json: bool, filters: str | None, layer: str | None) -> None:
    """Show each blob of a weights FILE: shape, mean, standard deviation, range and fraction of zeros.

    \b
    Examples:
    cafx weights net_iter_1000.caffemodel
    cafx weights net_iter_1000.caffemodel --filters conv1.png --layer conv1
    """
    layers = read_weights(file, registry())
    rows = [row for each in layers for row in _rows(each)]
    if as_json:
        click.echo(json.dumps({"file": file, "blobs": rows}))
    else:
        _print_table(file, rows)
    if filters:
        draw_filters(_select(layers, layer, file), filters)
        if not as_json:
            click.echo(filters)


def _rows(layer: LayerWeights) -> list[dict[str, Any]]:
    return [
        {"layer": layer.name, "type": layer.type, "blob": index, "shape": list(blob.shape), **_statistics(blob.data)}
        for index, blob in enumerate(layer.blobs)
    ]


def _statistics(values: Values) -> dict[str, Any]:
    """Statistics of a blob, accumulated in float64 because blobs may have millions of values."""
    if not values.size:
        return {"count": 0, "mean": None, "std": None, "min": None, "max": None, "zeros": None, "finite": True}
    with np.errstate(all="ignore"):
        statistics = {
            "mean": float(values.mean(dtype=np.float64)),
            "std": float(values.std(dtype=np.float64)),
            "min": float(values.min()),
            "max": float(values.max()),
        }
    known = {name: value if math.isfinite(value) else None for name, value in statistics.items()}
    zeros = 1 - np.count_nonzero(values) / values.size
    return {"count": values.size, **known, "zeros": zeros, "finite": bool(np.isfinite(values).all())}


def _print_table(file: str, rows: list[dict[str, Any]]) -> None:
    """One line per blob, or two in a narrow terminal."""
    from rich.table import Table

    from cafx.cli.terminal import console

    table = Table(title=file)
    pairs = _NARROW if console().width < NARROW else _WIDE
    for names in pairs:
        words = bool(set(names) & {"layer", "type", "shape"})
        table.add_column(
            "\n".join(names),
            justify="left" if words else "right",
            overflow="fold" if words else "ellipsis",
            no_wrap=not words,
        )
    for row in rows:
        cells = _cells(row)
        table.add_row(*("\n".join(cells[name] for name in names) for names in pairs))
    console().print(table, markup=False)
    click.echo(f"{len(rows)} blobs, {sum(row['count'] for row in rows):,} values")


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """The values of a row as text."""
    numbers = {name: _number(row[name]) for name in ("mean", "std", "min", "max")}
    zeros = "" if row["zeros"] is None else f"{row['zeros']:.1%}"
    return numbers | {
        "layer": row["layer"],
        "type": row["type"],
        "blob": str(row["blob"]),
        "shape": shape_text(tuple(row["shape"])),
        "values": f"{row['count']:,}",
        "zeros": zeros if row["finite"] else f"{zeros} not finite!",
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _select(layers: list[LayerWeights], name: str | None, file: str) -> Values:
    """The filters to draw: the first blob with four axes, of the named layer or of any."""
    for layer in layers:
        if name in (None, layer.name):
            for blob in layer.blobs:
                if len(blob.shape) == 4 and blob.shape[2] * blob.shape[3] > 1:
                    return blob.data.reshape(blob.shape)
    known = [layer.name for layer in layers if any(len(blob.shape) == 4 for blob in layer.blobs)]
    raise CafxError(
        f"layer '{name}' has no filters" if name else "no layer has filters",
        where=file,
        expected="one of " + ", ".join(known) if known else None,
    )


def draw_filters(filters: Values, out: str) -> None:
    """Write a picture of filters, in colour if they have three channels (BGR, as in Caffe).

    Args:
        filters: N×C×H×W.
        out: file to write; its ending chooses the format.

    Raises:
        CafxError: an unsupported format, or the file cannot be written.
    """
    picture = filter_grid(filters)
    height, width = picture.shape[:2]
    scale = max(1, MIN_PICTURE_SIDE // max(height, width))
    figure = matplotlib("figure").Figure(figsize=(width * scale / DPI, height * scale / DPI))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    save_figure(figure, out, DPI)


def filter_grid(filters: Values) -> Values:
    """Filters side by side with a gap of one pixel, scaled to 0…1 over all of them.

    Args:
        filters: N×C×H×W. Three channels make colour images; otherwise each channel is an image.
    """
    if filters.shape[1] == 3:
        images = filters[:, ::-1].transpose(0, 2, 3, 1)
    else:
        images = filters.reshape(-1, *filters.shape[2:])
    low, high = float(images.min()), float(images.max())
    scaled = ((images - low) / ((high - low) or 1.0)).astype(np.float32)
    return image_grid(scaled, columns=math.ceil(math.sqrt(len(scaled))), gap=1, background=1.0)


def cases() -> Iterable[CommandCase]:
    """A table, JSON, and a picture."""
    from cafx.conformance.kinds.command import CommandCase

    def prepare(folder: Path) -> None:
        from cafx.kernel import schema
        from cafx.kernel.net import BlobValues, format_named

        values = np.linspace(-1, 1, 54, dtype=np.float32)
        net = schema()["NetParameter"](name="small")
        net.layer.add(name="conv1", type="Convolution")
        layers = [LayerWeights("conv1", [BlobValues((2, 3, 3, 3), values)])]
        format_named("BINARYPROTO", registry()).write_weights(folder / "w.caffemodel", net, layers)

    yield CommandCase("table", ["w.caffemodel"], prepare)
    yield CommandCase("json", ["w.caffemodel", "--json"], prepare)
    yield CommandCase("filters", ["w.caffemodel", "--filters", "filters.png"], prepare, ["filters.png"])
