"""MNIST's idx files as a train and a test LMDB, made beside this file: ``python mnist_data.py [FOLDER]``."""

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
    """The path of the ``train`` or ``test`` database, which is made if it is missing."""
    folder = HERE / f"mnist_{phase}_lmdb"
    if not folder.exists():
        source = source_folder()
        images = read_idx(source / f"{NAMES[phase]}-images-idx3-ubyte.gz", IMAGES_MAGIC)
        labels = read_idx(source / f"{NAMES[phase]}-labels-idx1-ubyte.gz", LABELS_MAGIC)
        _write(folder, images, labels)
    return os.path.relpath(folder)


def snapshots(name: str) -> str:
    """What snapshots' names begin with: a folder beside this file, made if it is missing."""
    folder = HERE / "snapshots"
    folder.mkdir(exist_ok=True)
    return os.path.relpath(folder / name)


def source_folder() -> Path:
    """Where the idx files are: CAFX_DATA, this folder, or ../shared/datasets/mnist beside the repository."""
    given = os.environ.get("CAFX_DATA")
    places = [Path(given)] if given else [HERE, BESIDE_REPOSITORY]
    for place in places:
        if (place / "train-images-idx3-ubyte.gz").is_file():
            return place
    raise CafxError(
        "MNIST's files are not here",
        found=f"no train-images-idx3-ubyte.gz in {' or '.join(map(str, places))}",
        remedy="fetch train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
        "t10k-labels-idx1-ubyte.gz (any mirror of MNIST has them) into one folder and name it: --data FOLDER",
    )


def read_idx(path: Path, magic: int) -> np.ndarray:
    """The array in a gzipped idx file: a magic number, the lengths of its axes, then its bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise CafxError(f"cannot be read: {error}", where=str(path), remedy="fetch it again") from None
    axes = magic & 0xFF
    found, *shape = struct.unpack_from(f">{axes + 1}i", content.ljust(4 * (axes + 1), b"\0"))
    values = np.frombuffer(content, np.uint8, offset=min(len(content), 4 * (axes + 1)))
    if found != magic or values.size != np.prod(shape, dtype=np.int64):
        raise CafxError("is not whole, or no idx file", where=str(path), remedy="fetch it again")
    return values.reshape(shape)


def _write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """One Datum an image; the folder takes its name only when it is whole."""
    if len(images) != len(labels):
        raise CafxError("images and labels differ in number", found=f"{len(images)} and {len(labels)}")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    with registry().load("database", "LMDB").create(draft) as writer:
        for start in range(0, len(images), BATCH):
            batch = zip(images[start : start + BATCH], labels[start : start + BATCH], strict=True)
            writer.put(
                [
                    (b"%08d" % i, datum_bytes(image[np.newaxis], int(label)))
                    for i, (image, label) in enumerate(batch, start)
                ]
            )
    draft.rename(folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["CAFX_DATA"] = sys.argv[1]
    try:
        for made in NAMES:
            print(database(made))
    except CafxError as error:
        sys.exit(f"error: {error}")
