"""Converts MNIST's idx files to a train and a test LMDB in this folder: ``python mnist_data.py [FOLDER]``."""

import gzip
import os
import struct
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError, registry
from cafx_lib_feed.datum import datum_bytes

HERE = Path(__file__).resolve().parent
BESIDE_REPOSITORY = (HERE / "../../../../shared/datasets/mnist").resolve()
NAMES = {"train": "train", "test": "t10k"}
BATCH = 5000
IMAGES_MAGIC, LABELS_MAGIC = 0x803, 0x801


def database(phase: str) -> str:
    """The path of the ``train`` or ``test`` database, created on first use."""
    folder = HERE / f"mnist_{phase}_lmdb"
    if not folder.exists():
        write_database(folder, *digits(phase))
    return os.path.relpath(folder)


def digits(phase: str) -> tuple[np.ndarray, np.ndarray]:
    """The images (N×28×28) and labels of ``train`` or ``test``."""
    source = source_folder()
    images = read_idx(source / f"{NAMES[phase]}-images-idx3-ubyte.gz", IMAGES_MAGIC)
    return images, read_idx(source / f"{NAMES[phase]}-labels-idx1-ubyte.gz", LABELS_MAGIC)


def snapshots(name: str) -> str:
    """The path prefix of snapshots, in the folder ``snapshots``, which is created if necessary."""
    folder = HERE / "snapshots"
    folder.mkdir(exist_ok=True)
    return os.path.relpath(folder / name)


def source_folder() -> Path:
    """The folder of the idx files: CAFX_DATA, this folder, or ../shared/datasets/mnist next to the repository."""
    folder = os.environ.get("CAFX_DATA")
    places = [Path(folder)] if folder else [HERE, BESIDE_REPOSITORY]
    for place in places:
        if (place / "train-images-idx3-ubyte.gz").is_file():
            return place
    raise CafxError(
        f"no train-images-idx3-ubyte.gz in {' or '.join(map(str, places))}",
        remedy="download train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
        "t10k-labels-idx1-ubyte.gz from any mirror of MNIST and name their folder: --data FOLDER",
    )


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Read a gzipped idx file: a magic number, the lengths of the axes, then the values as bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise CafxError(f"cannot be read: {error}", where=str(path), remedy="download it again") from None
    axes = magic & 0xFF
    actual_magic, *shape = struct.unpack_from(f">{axes + 1}i", content.ljust(4 * (axes + 1), b"\0"))
    values = np.frombuffer(content, np.uint8, offset=min(len(content), 4 * (axes + 1)))
    if actual_magic != magic or values.size != np.prod(shape, dtype=np.int64):
        raise CafxError("is truncated, or not an idx file", where=str(path), remedy="download it again")
    return values.reshape(shape)


def write_database(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write images (N×H×W or N×C×H×W) and labels, under a temporary name until the database is complete."""
    if len(images) != len(labels):
        raise CafxError("images and labels differ in number", found=f"{len(images)} and {len(labels)}")
    pixels = images if images.ndim == 4 else images[:, np.newaxis]
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    with registry().load("database", "LMDB").create(draft) as writer:
        for start in range(0, len(pixels), BATCH):
            batch = range(start, min(start + BATCH, len(pixels)))
            writer.put([(b"%08d" % i, datum_bytes(pixels[i], int(labels[i]))) for i in batch])
    draft.rename(folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["CAFX_DATA"] = sys.argv[1]
    try:
        for phase in NAMES:
            print(database(phase))
    except CafxError as error:
        sys.exit(f"error: {error}")
