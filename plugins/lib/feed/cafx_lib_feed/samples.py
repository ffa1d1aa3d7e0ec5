"""Small databases, images and lists on which data layers' conformance cases run."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

from cafx.kernel import registry
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import encode

COUNT, SHAPE = 5, (3, 8, 7)


@functools.cache
def folder() -> Path:
    """A folder that is removed at exit."""
    made = Path(tempfile.mkdtemp(prefix="cafx-samples-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def pictures() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Five images of 3×8×7."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


def database(backend: str = "LMDB", encoded: bool = False) -> str:
    """A database of those images."""
    path = folder() / f"{backend}{'_encoded' * encoded}"
    if path.exists():
        return str(path)
    with registry().load("database", backend).create(path) as writer:
        items = []
        for index, picture in enumerate(pictures()):
            if encoded:
                image = encode(np.ascontiguousarray(picture.transpose(1, 2, 0)), ".png", "sample")
                value = datum_bytes(None, index % 3, image=image, encoded=True)
            else:
                value = datum_bytes(picture, index % 3, encoded=False)
            items.append((b"%08d" % index, value))
        writer.put(items)
    return str(path)


@functools.cache
def mean_file() -> str:
    """The mean of those images."""
    path = folder() / "mean.binaryproto"
    write_binaryproto(path, pictures().mean(axis=0, dtype=np.float32)[None])
    return str(path)


@functools.cache
def image_list() -> str:
    """A list of those images as PNG files, one with a space in its name."""
    lines = []
    for index, picture in enumerate(pictures()):
        name = f"image {index}.png"
        (folder() / name).write_bytes(encode(np.ascontiguousarray(picture.transpose(1, 2, 0)), ".png", name))
        lines.append(f"{name} {index % 3}\n")
    path = folder() / "list.txt"
    path.write_text("".join(lines))
    return str(path)


@functools.cache
def window_list() -> str:
    """Windows into two of those images."""
    image_list()
    text = ""
    for index in range(2):
        (folder() / f"window{index}.png").write_bytes((folder() / f"image {index}.png").read_bytes())
        text += f"# {index}\nwindow{index}.png\n3\n8\n7\n2\n2 0.9 1 1 6 5\n1 0.1 0 2 4 7\n"
    path = folder() / "windows.txt"
    path.write_text(text)
    return str(path)


@functools.cache
def hdf5_list() -> str:
    """Two HDF5 files with five and three rows, their datasets named as the suite names tops."""
    import h5py

    rng = np.random.default_rng(1)
    names = []
    for index, rows in enumerate((5, 3)):
        names.append(str(folder() / f"rows{index}.h5"))
        with h5py.File(names[-1], "w") as file:
            file["top0"] = rng.standard_normal((rows, 2, 3)).astype(np.float32)
            file["top1"] = np.arange(rows, dtype=np.float32)
    path = folder() / "files.txt"
    path.write_text("\n".join(names) + "\n")
    return str(path)
