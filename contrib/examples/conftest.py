"""Fixtures for the tests of the examples."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
GENERATED = ("*_lmdb", "*.h5", "*_iter_*", "*.binaryproto", "snapshots", "__pycache__")


@pytest.fixture(scope="session")
def copy_examples() -> Callable[[Path], Path]:
    """A function that copies the examples, without generated files, to a new folder."""
    return lambda target: Path(shutil.copytree(HERE, target, ignore=shutil.ignore_patterns(*GENERATED)))


@pytest.fixture(scope="session")
def write_mnist() -> Callable[..., None]:
    """A function that writes random images in MNIST's format to a folder."""

    def write(folder: Path, rng: np.random.Generator, *, train: int, test: int) -> None:
        for name, count in (("train", train), ("t10k", test)):
            images = struct.pack(">4i", 0x803, count, 28, 28) + rng.bytes(count * 28 * 28)
            labels = struct.pack(">2i", 0x801, count) + bytes(rng.integers(0, 10, count).tolist())
            (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
            (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))

    return write
