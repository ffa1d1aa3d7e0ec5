"""Two noisy clouds of points in HDF5 files beside this one: ``python regression_data.py``."""

import os
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).resolve().parent
COUNTS = {"train": 7500, "test": 2500}
FEATURES, INFORMATIVE = 4, 2
SEED = 1


def points(phase):
    """Features and labels: two of four features tell the class, the others nothing."""
    rng = np.random.default_rng([SEED, list(COUNTS).index(phase)])
    labels = rng.integers(2, size=COUNTS[phase])
    features = rng.standard_normal((len(labels), FEATURES))
    features[:, :INFORMATIVE] += labels[:, None] * 2 - 1
    return features.astype(np.float32), labels.astype(np.float32)


def file_list(phase):
    """The path of a text file that names the HDF5 file; both are made if they are missing."""
    path = HERE / f"{phase}.h5"
    if not path.exists():
        with h5py.File(path, "w") as file:
            file["data"], file["label"] = points(phase)
    listed = HERE / f"{phase}.txt"
    listed.write_text(f"{os.path.relpath(path)}\n")
    return os.path.relpath(listed)


if __name__ == "__main__":
    for each in COUNTS:
        print(file_list(each))
