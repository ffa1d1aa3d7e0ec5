"""Files that come with a net's preprocessing: a mean, names of the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.files import open_file, shown, unreadable

MOST_BYTES = 16 << 20
"""Bytes of a file of labels or of a record, at most."""
IMAGE_AXES = 3


def read_text(path: str | Path) -> str:
    """The text of a small file; bytes that are not UTF-8 are replaced.

    Raises:
        CafxError: the file cannot be read, or is larger than a file of this kind can be.
    """
    try:
        with open_file(path) as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if len(data) > MOST_BYTES:
        raise CafxError("is too large", where=shown(path), expected=f"at most {MOST_BYTES >> 20} MiB of text")
    return data.decode("utf-8", "replace")


def read_labels(path: str | Path) -> list[str]:
    """The names of the classes, one per line in their order, as in Caffe's synset_words.txt.

    Raises:
        CafxError: the file cannot be read.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def read_mean(text: str, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """A mean to subtract from images.

    Args:
        text: a ``.binaryproto`` or ``.npy`` file, or a value per channel: ``104,117,123``, in the order BGR.
        shape: channels, height and width of the net's input; a larger mean image is cropped to its centre.

    Returns:
        Array of shape C×H×W or C×1×1.

    Raises:
        CafxError: it is neither, or has another shape.

    Example:
        >>> read_mean("1,2,3", (3, 5, 5)).ravel().tolist()
        [1.0, 2.0, 3.0]
    """
    values = mean_values(text)
    return mean_array(_mean_file(text) if values is None else values, shape, text)


def mean_values(text: str) -> tuple[float, ...] | None:
    """The numbers of ``104,117,123``; None if it is the name of a file.

    Raises:
        CafxError: a number is not finite.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        return None
    if not np.isfinite(values).all():
        raise CafxError("a mean is not a finite number", found=text, expected="such as 104,117,123")
    return values


def mean_array(mean: Any, shape: tuple[int, int, int], where: str) -> npt.NDArray[np.float32]:
    """A mean as `read_mean` returns it, from an array or from values.

    Args:
        mean: a value, a value per channel, or an image of shape C×H×W or 1×C×H×W.
        shape: channels, height and width of the net's input.
        where: what errors name.

    Raises:
        CafxError: the shape does not match.
    """
    channels, height, width = shape
    array = np.asarray(mean, np.float32)
    if array.ndim == IMAGE_AXES + 1 and len(array) == 1:
        array = array[0]
    if array.ndim < IMAGE_AXES - 1 and array.size in (1, channels):
        return np.broadcast_to(array.reshape(-1, 1, 1), (channels, 1, 1)).copy()
    if array.ndim != IMAGE_AXES or len(array) != channels or array.shape[1] < height or array.shape[2] < width:
        found, expected = "×".join(map(str, array.shape)), "×".join(map(str, shape))
        raise CafxError(
            "is not a mean of this net's images", where=where, found=found, expected=f"{expected} or larger"
        )
    top, left = (array.shape[1] - height) // 2, (array.shape[2] - width) // 2
    return np.ascontiguousarray(array[:, top : top + height, left : left + width])


def _mean_file(path: str) -> Any:
    if Path(path).suffix == ".npy":
        try:
            return np.array(np.load(path, mmap_mode="r", allow_pickle=False), np.float32)
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise CafxError(f"cannot be read: {error}", where=shown(path), expected="an array of numbers") from None
    from cafx_format_binaryproto import read_binaryproto

    return read_binaryproto(path)
