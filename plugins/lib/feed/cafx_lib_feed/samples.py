"""Small databases, images and lists for the conformance cases of data layers."""

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
    """A temporary folder that is removed when the process exits."""
    path = Path(tempfile.mkdtemp(prefix="cafx-samples-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def pictures() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Five random images of 3×8×7 pixels."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


def database(backend: str = "LMDB", encoded: bool = False) -> str:
    """The path of a database of these images, raw or encoded as PNG."""
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
    """The path of a binaryproto file with the mean of these images."""
    path = folder() / "mean.binaryproto"
    write_binaryproto(path, pictures().mean(axis=0, dtype=np.float32)[None])
    return str(path)


@functools.cache
def image_list() -> str:
    """The path of a list of these images as PNG files; their names contain spaces."""
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
    """The path of a window file for two of these images."""
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
    """The path of a list of two HDF5 files with five and three rows, for tops ``top0`` and ``top1``."""
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


def damaged_database(folder: Path) -> dict[str, str]:
    """Options of Data for a database, written to a folder, whose second item is not a Datum."""
    with registry().load("database", "LMDB").create(folder / "db") as writer:
        writer.put([(b"0", datum_bytes(pictures()[0], 0)), (b"1", b"\xff")])
    return {"source": str(folder / "db")}


def damaged_image_list(folder: Path) -> dict[str, str]:
    """Options of ImageData for a list, written to a folder, whose second file is not an image."""
    image = np.ascontiguousarray(pictures()[0].transpose(1, 2, 0))
    (folder / "good.png").write_bytes(encode(image, ".png", "sample"))
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "list.txt").write_text("good.png 0\nbad.png 1\n")
    return {"source": str(folder / "list.txt"), "root_folder": f"{folder}/"}


def damaged_hdf5_list(folder: Path) -> dict[str, str]:
    """Options of HDF5Data for a list, written to a folder, of one truncated file."""
    whole = Path(Path(hdf5_list()).read_text().split()[0]).read_bytes()
    (folder / "rows.h5").write_bytes(whole[: len(whole) // 2])
    (folder / "files.txt").write_text(str(folder / "rows.h5"))
    return {"source": str(folder / "files.txt")}
