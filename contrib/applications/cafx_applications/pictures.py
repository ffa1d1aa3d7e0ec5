"""Pictures of results, small enough to be committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

DPI = 80
LIMIT = 100_000
"""Bytes that a committed picture may have."""
COLOURS = (256, 128, 64)
"""Numbers of colours of a picture that would be too large, from the best."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file with few colours if it would otherwise be large.

    Args:
        figure: made by ``matplotlib.figure.Figure``, which needs no screen.
        path: the file.
    """
    figure.savefig(path, dpi=DPI)
    if path.stat().st_size > LIMIT:
        _reduce(path)


def grid(rows: int, columns: int, size: float = 1.4) -> tuple[Figure, Any]:
    """A figure of rows × columns pictures without axes.

    Args:
        rows, columns: number of pictures.
        size: width and height of each, in inches.

    Returns:
        The figure, and an array of rows × columns axes.
    """
    figure = Figure(figsize=(columns * size, rows * size), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.set_axis_off()
    return figure, axes


def _reduce(path: Path) -> None:
    """Keep as many colours as there is room for."""
    from PIL import Image

    with Image.open(path) as image:
        full = image.convert("RGB")
    for colours in COLOURS:
        full.quantize(colours).save(path, optimize=True)
        if path.stat().st_size <= LIMIT:
            return
