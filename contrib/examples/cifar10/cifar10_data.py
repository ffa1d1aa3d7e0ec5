"""Converts CIFAR-10 to LMDBs and a mean image in this folder: ``python cifar10_data.py [FOLDER]``."""

import gzip
import os
import sys
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError, registry
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_feed.datum import datum_bytes

HERE = Path(__file__).resolve().parent
BESIDE_REPOSITORY = (HERE / "../../../../shared/datasets/cifar10").resolve()
FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
SHAPE = (3, 32, 32)
ITEM_BYTES = 1 + 3 * 32 * 32
BATCH = 5000


def database(phase):
    """The path of the ``train`` or ``test`` database, created on first use."""
    folder = HERE / f"cifar10_{phase}_lmdb"
    if not folder.exists():
        labels, images = read(phase)
        order = np.random.default_rng(1).permutation(len(labels)) if phase == "train" else np.arange(len(labels))
        draft = folder.with_name(f".{folder.name}.{os.getpid()}")
        with registry().load("database", "LMDB").create(draft) as writer:
            for start in range(0, len(order), BATCH):
                batch = enumerate(order[start : start + BATCH], start)
                writer.put([(b"%05d" % i, datum_bytes(images[k], int(labels[k]))) for i, k in batch])
        draft.rename(folder)
    return os.path.relpath(folder)


def mean_file():
    """The path of the mean of all training images, created on first use."""
    path = HERE / "mean.binaryproto"
    if not path.exists():
        _, images = read("train")
        write_binaryproto(path, images.mean(axis=0, dtype=np.float64).astype(np.float32)[None])
    return os.path.relpath(path)


def read(phase):
    """The labels and images of a phase, from those of its files that exist."""
    folder = os.environ.get("CAFX_DATA")
    places = [Path(folder)] if folder else [HERE, BESIDE_REPOSITORY]
    candidates = [place / f"{name}{end}" for name in FILES[phase] for place in places for end in ("", ".gz")]
    paths = [path for path in candidates if path.is_file()]
    if not paths:
        raise CafxError(
            f"no {FILES[phase][0]} in {' or '.join(map(str, places))}",
            remedy="download cifar-10-binary.tar.gz, unpack it and name its folder: --data FOLDER",
        )
    items = np.concatenate([_items(path) for path in paths])
    return items[:, 0], items[:, 1:].reshape(-1, *SHAPE)


def _items(path):
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    if len(content) % ITEM_BYTES:
        raise CafxError("is truncated", where=str(path), remedy="download it again")
    return np.frombuffer(content, np.uint8).reshape(-1, ITEM_BYTES)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["CAFX_DATA"] = sys.argv[1]
    try:
        print(database("train"), database("test"), mean_file())
    except CafxError as error:
        sys.exit(f"error: {error}")
