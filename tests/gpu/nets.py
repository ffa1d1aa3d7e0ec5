"""The nets that are trained here, from equal weights on equal data."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import models
import numpy as np
from machine import reference_data

from cafx.kernel import Solver, schema

OPTIONS = "lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.0005 max_iter: 1000000 type: 'SGD' random_seed: 5"
SEED = 11


def text_of(name: str, batch: int, *, dropout: bool = True) -> models.Text:
    """A net's text; without dropout all ratios are 0."""
    net = models.MODELS[name](batch)
    if not dropout:
        net.lines = [re.sub(r"dropout_ratio: [\d.]+", "dropout_ratio: 0", line) for line in net.lines]
    return net


def make_solver(
    net: models.Text, engine: Any, *, rate: float = 1e-4, prefix: str = "s", dtype: Any = np.float32
) -> Solver:
    """A solver of SGD with momentum and weight decay."""
    options = schema().parse_text(f"{OPTIONS} base_lr: {rate} snapshot_prefix: '{prefix}'", "SolverParameter")
    options.net_param.CopyFrom(schema().parse_text(str(net), "NetParameter"))
    return Solver(options, engine=engine, keep="outputs", dtype=dtype)


def feed(solver: Solver, classes: int) -> None:
    """Fill the inputs with random images and labels, the same in each call."""
    rng = np.random.default_rng(SEED)
    blobs = solver.net.blobs
    blobs["data"].set_data(rng.standard_normal(blobs["data"].shape, dtype=np.float32))
    blobs["label"].set_data(rng.integers(0, classes, blobs["label"].shape))


def parameters(solver: Solver) -> dict[str, Any]:
    """The parameter blobs by layer and index."""
    return {f"{layer}.{index}": blob for layer, blobs in solver.net.params.items() for index, blob in enumerate(blobs)}


class Digits:
    """MNIST where it is at hand, else digits drawn by a simple rule.

    Args:
        part: "train" or "t10k".
        count: how many.

    Attributes:
        images: values from 0 to 1.
        labels: their digits.
    """

    def __init__(self, part: str, count: int) -> None:
        folder = reference_data("datasets/mnist")
        self.images, self.labels = _read(folder, part, count) if folder else _drawn(part, count)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches in order, again and again."""
        while True:
            for start in range(0, len(self.images) - size + 1, size):
                yield self.images[start : start + size], self.labels[start : start + size]


def _read(folder: Path, part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
    pixels = np.frombuffer(images, np.uint8, count * 784).reshape(count, 1, 28, 28)
    return pixels.astype(np.float32) / 256, np.frombuffer(labels, np.uint8, count).astype(np.int64)


def _drawn(part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    prototypes = np.random.default_rng(0).uniform(0, 1, (10, 1, 28, 28))
    rng = np.random.default_rng(len(part))
    labels = rng.integers(0, 10, count)
    noisy = 0.5 * prototypes[labels] + 0.5 * rng.uniform(0, 1, (count, 1, 28, 28))
    return noisy.astype(np.float32), labels
