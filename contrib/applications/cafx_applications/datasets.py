"""Real data that the applications use: MNIST, CIFAR-10, SqueezeNet and a few photographs.

Each is looked up in the folder named by CAFX_DATA, which has the subfolders ``datasets/mnist``,
``datasets/cifar10``, ``models/squeezenet_v1.0``, ``images`` and ``labels``; otherwise in ``../shared`` beside the
repository.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_command_convert_mnist import IMAGES, LABELS, read_idx

BESIDE_REPOSITORY = Path(__file__).resolve().parents[4] / "shared"
MNIST_FILES = {"train": "train", "test": "t10k"}
CIFAR_FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_SHAPE = (3, 32, 32)
Bytes = npt.NDArray[np.uint8]


class Labelled(NamedTuple):
    """Images and the class of each.

    Attributes:
        images: bytes, N×H×W (MNIST) or N×3×H×W, red first (CIFAR-10).
        labels: N whole numbers from 0.
    """

    images: Bytes
    labels: npt.NDArray[np.int64]


class Model(NamedTuple):
    """A trained net: its definition, its weights, and the names of its classes."""

    deploy: Path
    weights: Path
    labels: tuple[str, ...]


def folder() -> Path:
    """The folder that holds the data.

    Example:
        >>> folder().name == "shared" or "CAFX_DATA" in os.environ
        True
    """
    named = os.environ.get("CAFX_DATA")
    return Path(named) if named else BESIDE_REPOSITORY


def mnist(phase: str) -> Labelled:
    """MNIST's handwritten digits, N×28×28.

    Args:
        phase: ``"train"`` (60,000 images) or ``"test"`` (10,000).

    Raises:
        CafxError: the files are absent or damaged.
    """
    name = MNIST_FILES[phase]
    images = _present(f"datasets/mnist/{name}-images-idx3-ubyte.gz", "MNIST's four files from any mirror")
    labels = images.with_name(f"{name}-labels-idx1-ubyte.gz")
    return Labelled(read_idx(str(images), IMAGES), read_idx(str(labels), LABELS).astype(np.int64))


def cifar10(phase: str) -> Labelled:
    """CIFAR-10's photographs, N×3×32×32, red first; from those of the phase's files that exist.

    Args:
        phase: ``"train"`` (10,000 images per file) or ``"test"`` (10,000).

    Raises:
        CafxError: no file of the phase exists.
    """
    first = CIFAR_FILES[phase][0]
    places = [folder() / "datasets/cifar10" / f"{name}{end}" for name in CIFAR_FILES[phase] for end in ("", ".gz")]
    found = [path for path in places if path.is_file()]
    if not found:
        _present(f"datasets/cifar10/{first}", "cifar-10-binary.tar.gz, unpacked")
    items = np.concatenate([_cifar_items(path) for path in found])
    return Labelled(items[:, 1:].reshape(-1, *CIFAR_SHAPE), items[:, 0].astype(np.int64))


def squeezenet() -> Model:
    """SqueezeNet 1.0 trained on ImageNet: 3×227×227, blue first, 0 to 255, minus (104, 117, 123).

    Raises:
        CafxError: the model is absent.
    """
    wanted = "SqueezeNet_deploy.prototxt and the caffemodel of SqueezeNet 1.0"
    deploy = _present("models/squeezenet_v1.0/SqueezeNet_deploy.prototxt", wanted)
    weights = sorted(deploy.parent.glob("*.caffemodel"))
    if not weights:
        raise CafxError("no caffemodel", where=str(deploy.parent), remedy=f"put {wanted} there")
    names = folder() / "labels/synset_words.txt"
    words = names.read_text("utf-8").splitlines() if names.is_file() else []
    return Model(deploy, weights[0], tuple(line.partition(" ")[2].split(",")[0] for line in words))


def photographs() -> list[Path]:
    """The photographs in the data folder's ``images``, sorted by name."""
    return sorted(path for path in (folder() / "images").glob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})


def _present(name: str, what: str) -> Path:
    path = folder() / name
    if not path.is_file():
        remedy = f"put {what} there, or name another folder: CAFX_DATA=FOLDER"
        raise CafxError("there is no such file", where=str(path), remedy=remedy)
    return path


def _cifar_items(path: Path) -> Bytes:
    content = path.read_bytes()
    values = np.frombuffer(gzip.decompress(content) if path.suffix == ".gz" else content, np.uint8)
    length = 1 + int(np.prod(CIFAR_SHAPE))
    if values.size % length:
        raise CafxError("is truncated", where=str(path), remedy="download it again")
    return values.reshape(-1, length)
