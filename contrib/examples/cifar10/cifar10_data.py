"""CIFAR-10 as LMDBs and a mean image beside this file: ``python cifar10_data.py [FOLDER]``."""

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
ITEM = 1 + 3 * 32 * 32
BATCH = 5000


def database(phase):
    """The path of the ``train`` or ``test`` database, which is made if it is missing."""
    folder = HERE / f"cifar10_{phase}_lmdb"
    if not folder.exists():
        labels, images = read(phase)
        order = np.random.default_rng(1).permutation(len(labels)) if phase == "train" else np.arange(len(labels))
        draft = folder.with_name(f".{folder.name}.{os.getpid()}")
        with registry().load("database", "LMDB").create(draft) as writer:
            for start in range(0, len(order), BATCH):
                chosen = enumerate(order[start : start + BATCH], start)
                writer.put([(b"%05d" % i, datum_bytes(images[k], int(labels[k]))) for i, k in chosen])
        draft.rename(folder)
    return os.path.relpath(folder)


def mean_file():
    """The path of the mean of all training images, which is made if it is missing."""
    path = HERE / "mean.binaryproto"
    if not path.exists():
        _, images = read("train")
        write_binaryproto(path, images.mean(axis=0, dtype=np.float64).astype(np.float32)[None])
    return os.path.relpath(path)


def read(phase):
    """Labels and images of those files of a phase that are there."""
    given = os.environ.get("CAFX_DATA")
    places = [Path(given)] if given else [HERE, BESIDE_REPOSITORY]
    candidates = [place / f"{name}{end}" for name in FILES[phase] for place in places for end in ("", ".gz")]
    found = [path for path in candidates if path.is_file()]
    if not found:
        raise CafxError(
            "CIFAR-10's files are not here",
            found=f"no {FILES[phase][0]} in {' or '.join(map(str, places))}",
            remedy="fetch cifar-10-binary.tar.gz, unpack it and name its folder: --data FOLDER",
        )
    items = np.concatenate([_items(path) for path in found])
    return items[:, 0], items[:, 1:].reshape(-1, *SHAPE)


def _items(path):
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    if len(content) % ITEM:
        raise CafxError("is not whole", where=str(path), remedy="fetch it again")
    return np.frombuffer(content, np.uint8).reshape(-1, ITEM)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ["CAFX_DATA"] = sys.argv[1]
    try:
        print(database("train"), database("test"), mean_file())
    except CafxError as error:
        sys.exit(f"error: {error}")
