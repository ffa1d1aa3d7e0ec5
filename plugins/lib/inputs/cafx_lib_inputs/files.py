"""Files that come with a deploy net: images, a mean, names of the classes."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MAGIC = "*?["


def find_images(names: Iterable[str]) -> list[str]:
    """The image files that files, folders and glob patterns name.

    Args:
        names: files; folders, for the images in them; or patterns, where ``**`` matches any folders.

    Returns:
        Paths, in the order of ``names``, those of a folder or pattern sorted.

    Raises:
        CafxError: a file or folder is missing, a folder has no images, or a pattern matches nothing.
    """
    found: list[str] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            listed = sorted(str(each) for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
            what = "no images in this folder"
        elif path.exists() or not any(letter in name for letter in MAGIC):
            listed = [name] if path.exists() else []
            what = "no such file"
        else:
            matches = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            listed = [each for each in sorted(matches) if Path(each).is_file()]
            what = "no file matches"
        if not listed:
            raise CafxError(what, where=name, expected=f"images: {', '.join(SUFFIXES)}", remedy="check the path")
        found += listed
    return found


def read_labels(path: str) -> list[str]:
    """The names of the classes, one per line in their order, as in Caffe's synset_words.txt.

    Raises:
        CafxError: the file cannot be read.
    """
    from cafx.kernel.files import read_file

    return [line.strip() for line in read_file(path).decode("utf-8", "replace").splitlines() if line.strip()]


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
    channels, height, width = shape
    mean = np.asarray(_values(text), np.float32)
    if mean.ndim == 4 and len(mean) == 1:
        mean = mean[0]
    if mean.ndim < 2 and mean.size in (1, channels):
        return np.broadcast_to(mean.reshape(-1, 1, 1), (channels, 1, 1)).copy()
    if mean.ndim != 3 or len(mean) != channels or mean.shape[1] < height or mean.shape[2] < width:
        found, expected = "×".join(map(str, mean.shape)), "×".join(map(str, shape))
        raise CafxError("is not a mean of this net's images", where=text, found=found, expected=f"{expected} or larger")
    top, left = (mean.shape[1] - height) // 2, (mean.shape[2] - width) // 2
    return np.ascontiguousarray(mean[:, top : top + height, left : left + width])


def _values(text: str) -> Any:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        pass
    if Path(text).suffix == ".npy":
        try:
            return np.load(text, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise CafxError(f"cannot be read: {error}", where=text, expected="an array of numbers") from None
    from cafx_format_binaryproto import read_binaryproto

    return read_binaryproto(text)
