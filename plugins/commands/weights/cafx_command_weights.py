"""``cafx weights``: what is in a weights file."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, registry
from cafx.kernel.blob import shape_text
from cafx.kernel.net import LayerWeights, atomic_write, read_weights

Values = npt.NDArray[Any]
DPI = 100
NOT_TERMINAL_WIDTH, NARROW = 140, 110
_WIDE = [(name,) for name in ("layer", "type", "blob", "shape", "values", "mean", "std", "min", "max", "zeros")]
_NARROW = [("layer", "type"), ("blob",), ("shape", "values"), ("mean", "std"), ("min", "max"), ("zeros",)]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option("--filters", metavar="OUT.png", help="Draw the filters of a convolution.")
@click.option("--layer", help="Which layer's filters; default the first that has any.")
def weights(file: str, as_json: bool, filters: str | None, layer: str | None) -> None:
    """Show the blobs of a weights FILE: shape, mean, standard deviation, share of zeros."""
    held = read_weights(file, registry())
    rows = [row for each in held for row in _rows(each)]
    if as_json:
        click.echo(json.dumps({"file": file, "blobs": rows}))
    else:
        _print_table(file, rows)
    if filters:
        draw_filters(_chosen(held, layer, file), filters)
        if not as_json:
            click.echo(filters)


def _rows(layer: LayerWeights) -> list[dict[str, Any]]:
    return [
        {"layer": layer.name, "type": layer.type, "blob": index, "shape": list(blob.shape), **_figures(blob.data)}
        for index, blob in enumerate(layer.blobs)
    ]


def _figures(values: Values) -> dict[str, Any]:
    """Statistics of a blob, summed in float64 since some have millions of values."""
    if not values.size:
        return {"count": 0, "mean": None, "std": None, "min": None, "max": None, "zeros": None, "finite": True}
    with np.errstate(all="ignore"):
        figures = {
            "mean": float(values.mean(dtype=np.float64)), "std": float(values.std(dtype=np.float64)),
            "min": float(values.min()), "max": float(values.max()),
        }  # fmt: skip
    known = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    zeros = 1 - np.count_nonzero(values) / values.size
    return {"count": values.size, **known, "zeros": zeros, "finite": bool(np.isfinite(values).all())}


def _print_table(file: str, rows: list[dict[str, Any]]) -> None:
    """A line a blob; two where the terminal is narrow."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=NOT_TERMINAL_WIDTH)
    table = Table(title=file)
    pairs = _NARROW if console.width < NARROW else _WIDE
    for names in pairs:
        words = bool(set(names) & {"layer", "type", "shape"})
        table.add_column(
            "\n".join(names), justify="left" if words else "right", overflow="fold" if words else "ellipsis",
            no_wrap=not words,
        )  # fmt: skip
    for row in rows:
        told = _told(row)
        table.add_row(*("\n".join(told[name] for name in names) for names in pairs))
    console.print(table, markup=False)
    click.echo(f"{len(rows)} blobs, {sum(row['count'] for row in rows):,} values")


def _told(row: dict[str, Any]) -> dict[str, str]:
    """A row's cells as text."""
    told = {name: _number(row[name]) for name in ("mean", "std", "min", "max")}
    zeros = "" if row["zeros"] is None else f"{row['zeros']:.1%}"
    return told | {
        "layer": row["layer"], "type": row["type"], "blob": str(row["blob"]), "shape": shape_text(tuple(row["shape"])),
        "values": f"{row['count']:,}", "zeros": zeros if row["finite"] else f"{zeros} not finite!",
    }  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _chosen(held: list[LayerWeights], name: str | None, file: str) -> Values:
    """The filters to draw: the first blob of four axes, of the layer named or of any."""
    for layer in held:
        if name in (None, layer.name):
            for blob in layer.blobs:
                if len(blob.shape) == 4 and blob.shape[2] * blob.shape[3] > 1:
                    return blob.data.reshape(blob.shape)
    known = [layer.name for layer in held if any(len(blob.shape) == 4 for blob in layer.blobs)]
    raise CafxError(
        f"layer '{name}' has no filters" if name else "no layer has filters", where=file,
        expected="one of " + ", ".join(known) if known else None,
    )  # fmt: skip


def draw_filters(filters: Values, out: str) -> None:
    """A grid of filters N×C×H×W as one picture: in colour for three channels, which Caffe keeps as BGR."""
    from matplotlib.figure import Figure

    picture = tiled(filters)
    height, width = picture.shape[:2]
    scale = max(1, 640 // max(height, width))
    figure = Figure(figsize=(width * scale / DPI, height * scale / DPI))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, dpi=DPI, format=Path(out).suffix[1:] or None)
    except ValueError as error:
        raise CafxError(str(error), where=out, remedy="name a .png or .svg file") from None
    with atomic_write(Path(out)) as file:
        file.write(drawn.getvalue())


def tiled(filters: Values) -> Values:
    """The filters side by side, a pixel apart, scaled to 0..1 over all of them."""
    if filters.shape[1] == 3:
        images = filters[:, ::-1].transpose(0, 2, 3, 1)
    else:
        images = filters.reshape(-1, *filters.shape[2:])
    low, high = float(images.min()), float(images.max())
    images = (images - low) / ((high - low) or 1.0)
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    high_, wide = images.shape[1] + 1, images.shape[2] + 1
    picture = np.ones((rows * high_ - 1, columns * wide - 1, *images.shape[3:]), np.float32)
    for index, image in enumerate(images):
        y, x = index // columns * high_, index % columns * wide
        picture[y : y + image.shape[0], x : x + image.shape[1]] = image
    return picture
