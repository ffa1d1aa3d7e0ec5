"""Files for the conformance cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cafx_lib_hdf5 import writing

CLASSES, PER_CLASS, WIDTH = 3, 8, 6


def write_metrics(folder: Path) -> None:
    """A metrics file of two iterations."""
    (folder / "m.csv").write_text("iteration,seconds,loss,lr\n0,0.2,3.0,0.01\n1,0.4,2.0,0.01\n")


def write_features(folder: Path) -> None:
    """Three classes that lie apart, with labels in the same file and in a text file."""
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    rows = np.random.default_rng(0).standard_normal((len(labels), WIDTH)) + 9 * np.eye(CLASSES, WIDTH)[labels]
    with writing(folder / "f.h5") as file:
        file.append("features", rows.astype(np.float32))
        file.append("label", labels.astype(np.float32))
    (folder / "l.txt").write_text("".join(f"class {label}\n" for label in labels))
