"""Finding image files."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

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
