"""Picture files that commands write: grids of images, and figures of matplotlib, the extra ``plots`` of cafx."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, registry
from cafx.kernel.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = npt.NDArray[Any]
EXTRA = "cafx[plots]"


def matplotlib(module: str) -> Any:
    """A module of matplotlib, imported on first use.

    Args:
        module: its name in the package, such as ``figure``.

    Raises:
        CafxError: it is not installed.
    """
    try:
        return importlib.import_module(f"matplotlib.{module}")
    except ImportError as error:
        message = f"pictures need the extra {EXTRA} ({error})"
        raise CafxError(message, remedy=f"install it with: {registry().install_line(EXTRA)}") from None


def image_grid(images: Sequence[Pixels] | Pixels, columns: int, gap: int = 0, background: float = 255) -> Pixels:
    """Images of one size side by side, row by row.

    Args:
        images: H×W or H×W×C each, all of one shape and dtype.
        columns: number of images per row.
        gap: pixels between neighbours.
        background: value of gaps and of the unused end of the last row.

    >>> image_grid(np.array([[[1]], [[2]], [[3]]]), columns=2, gap=1, background=0)
    array([[1, 0, 2],
           [0, 0, 0],
           [3, 0, 0]])
    """
    height, width, *channels = images[0].shape
    rows = -(-len(images) // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, *channels)
    grid = np.full(shape, background, images[0].dtype)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * (height + gap), column * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def save_figure(figure: Figure, path: str | Path, dpi: float) -> None:
    """Write a matplotlib figure atomically, in the format of the file's ending.

    Raises:
        CafxError: matplotlib does not write this format, or the file cannot be written.
    """
    path = Path(path)
    picture = io.BytesIO()
    try:
        figure.savefig(picture, dpi=dpi, format=path.suffix[1:] or None)
    except ValueError as error:
        raise CafxError(
            "unsupported picture format", where=str(path), found=str(error), remedy="name a .png, .svg or .pdf file"
        ) from None
    with atomic_write(path) as file:
        file.write(picture.getvalue())
