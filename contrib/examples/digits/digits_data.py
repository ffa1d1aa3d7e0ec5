"""Converts scikit-learn's 1,797 handwritten digits to a train and a test LMDB in this folder, on first use."""

import os
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError, registry
from cafx_lib_feed.datum import datum_bytes

HERE = Path(__file__).resolve().parent
SIDE, BORDER = 8, 1  # zero padding, so that random crops shift the digit by up to a pixel
TEST_IMAGES = 360
SEED = 1


def database(phase: str) -> str:
    """The path of the ``train`` or ``test`` database; both are created on first use."""
    folder = HERE / f"digits_{phase}_lmdb"
    if not folder.exists():
        _convert()
    return os.path.relpath(folder)


def snapshots(name: str) -> str:
    """The path prefix of snapshots, in the folder ``snapshots``, which is created if necessary."""
    folder = HERE / "snapshots"
    folder.mkdir(exist_ok=True)
    return os.path.relpath(folder / name)


def _convert() -> None:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise CafxError("scikit-learn is required for its digits", remedy="pip install scikit-learn") from None
    digits = load_digits()
    images = np.pad(digits.images.astype(np.uint8), ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    order = np.random.default_rng(SEED).permutation(len(images))
    for phase, chosen in (("test", order[:TEST_IMAGES]), ("train", order[TEST_IMAGES:])):
        _write(HERE / f"digits_{phase}_lmdb", images[chosen], digits.target[chosen])


def _write(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write one Datum per image, under a temporary name until the database is complete."""
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
