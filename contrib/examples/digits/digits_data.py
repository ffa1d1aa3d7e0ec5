"""scikit-learn's 1,797 handwritten digits as a train and a test LMDB, made beside this file on first use."""

import os
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError, registry
from cafx_lib_feed.datum import datum_bytes

HERE = Path(__file__).resolve().parent
SIDE, BORDER = 8, 1  # a border of zeros, so that a random crop shifts the digit by up to a pixel
TEST_IMAGES = 360
SEED = 1


def database(phase: str) -> str:
    """The path of the ``train`` or ``test`` database; both are made if it is missing."""
    folder = HERE / f"digits_{phase}_lmdb"
    if not folder.exists():
        _make()
    return os.path.relpath(folder)


def snapshots(name: str) -> str:
    """What snapshots' names begin with: a folder beside this file, made if it is missing."""
    folder = HERE / "snapshots"
    folder.mkdir(exist_ok=True)
    return os.path.relpath(folder / name)


def _make() -> None:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise CafxError(
            "the digits come with scikit-learn, which is not installed", remedy="pip install scikit-learn"
        ) from None
    digits = load_digits()
    images = np.pad(digits.images.astype(np.uint8), ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    order = np.random.default_rng(SEED).permutation(len(images))
    for phase, chosen in (("test", order[:TEST_IMAGES]), ("train", order[TEST_IMAGES:])):
        _write(HERE / f"digits_{phase}_lmdb", images[chosen], digits.target[chosen])


def _write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """One Datum an image; the folder takes its name only when it is whole."""
    if folder.exists():
        return
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    with registry().load("database", "LMDB").create(draft) as writer:
        writer.put(
            [
                (b"%08d" % i, datum_bytes(image[np.newaxis], int(label)))
                for i, (image, label) in enumerate(zip(images, labels, strict=True))
            ]
        )
    draft.rename(folder)
