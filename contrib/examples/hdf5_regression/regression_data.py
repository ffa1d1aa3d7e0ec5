"""Generates points of two normal distributions, as HDF5 files in this folder: ``python regression_data.py``."""

import os
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 7500, "test": 2500}
FEATURES, INFORMATIVE = 4, 2
SEED = 1


def points(phase):
    """Features and labels; two of the four features depend on the class."""
    rng = np.random.default_rng([SEED, list(COUNTS).index(phase)])
    labels = rng.integers(2, size=COUNTS[phase])
    features = rng.standard_normal((len(labels), FEATURES))
    features[:, :INFORMATIVE] += labels[:, None] * 2 - 1
    return features.astype(np.float32), labels.astype(np.float32)


def file_list(phase):
    """The path of a text file that lists the HDF5 file; both are created on first use."""
    path = HERE / f"{phase}.h5"
    if not path.exists():
        with h5py.File(path, "w") as file:
            file["data"], file["label"] = points(phase)
    list_path = HERE / f"{phase}.txt"
    list_path.write_text(f"{os.path.relpath(path)}\n")
    return os.path.relpath(list_path)


if __name__ == "__main__":
    for each in COUNTS:
        print(file_list(each))
