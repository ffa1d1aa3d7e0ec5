"""Writes CIFAR-10's photographs as files, and SqueezeNet's features of them as tables: ``python data.py``."""

import argparse
import os
import shutil
import sys
from contextlib import chdir
from pathlib import Path

import cv2
import numpy as np

from cafx.cli.main import run as cafx
from cafx.cli.process import INTERRUPTED
from cafx.kernel import CafxError
from cafx_applications.datasets import CIFAR_CLASSES, cifar10, squeezenet
from cafx_applications.running import SMALL, say
from cafx_lib_hdf5 import writing

HERE = Path(__file__).resolve().parent
FOLDER, NET = "images", "features.prototxt"
KINDS = len(CIFAR_CLASSES)
PHASES = ("train", "train", "test")  # of three rounds, each of which has one image of each class
PER_CLASS = {"train": 200, "test": 100}
BATCH = 30
BATCHES = 6 if SMALL else 100
SUFFIX = "_small" if SMALL else ""
FEATURES, LABELS = f"features{SUFFIX}.h5", f"labels{SUFFIX}.h5"


def images():
    """CIFAR-10's first images of each class: N×3×32×32 bytes, their labels, and whether each is for training.

    They come in rounds of one image per class, two of every three rounds for training, so that any number of whole
    rounds has all classes alike.
    """
    found = {phase: cifar10(phase) for phase in PER_CLASS}
    of_class = {
        phase: [source.images[source.labels == kind][: PER_CLASS[phase]] for kind in range(KINDS)]
        for phase, source in found.items()
    }
    rounds = {phase: iter(np.stack(each, axis=1)) for phase, each in of_class.items()}
    order = PHASES * PER_CLASS["test"]
    pixels = np.concatenate([next(rounds[phase]) for phase in order])
    return pixels, np.tile(np.arange(KINDS), len(order)), np.repeat([phase == "train" for phase in order], KINDS)


def image_list():
    """The path of the list of image files, made on first use with the files and a list of the classes' names."""
    folder = HERE / FOLDER
    if not folder.exists():
        draft = HERE / f".{FOLDER}.{os.getpid()}"
        try:
            _write(draft)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return os.path.relpath(folder / "list.txt")


def _write(folder):
    folder.mkdir()
    pixels, labels, _ = images()
    lines = []
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        cv2.imwrite(str(folder / f"{number:04d}.png"), image[::-1].transpose(1, 2, 0))  # OpenCV takes blue first
        lines.append(f"{FOLDER}/{number:04d}.png {label}\n")
    (folder / "classes.txt").write_text("\n".join(CIFAR_CLASSES) + "\n")
    (folder / "list.txt").write_text("".join(lines))


def extracted():
    """The paths of the features and of the labels of all images, made on first use by ``cafx extract-features``."""
    paths = HERE / FEATURES, HERE / LABELS
    if not all(path.exists() for path in paths):
        image_list()
        for path in paths:
            path.unlink(missing_ok=True)
        say(f"SqueezeNet's features of {BATCHES * BATCH} images")
        words = [str(squeezenet().weights), NET, "feature,label", f"{FEATURES},{LABELS}", str(BATCHES), "hdf5"]
        with chdir(HERE):
            code = cafx(["extract-features", *words])
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code:
            raise CafxError("cafx extract-features failed", where=str(HERE / NET))
    return paths


def arrays():
    """Features, pixels and labels of all images, and whether each is for training."""
    from h5py import File

    features, labels = extracted()
    with File(features) as first, File(labels) as second:
        rows, kinds = first["feature"][:], second["label"][:].astype(np.int64)
    pixels, expected, is_train = images()
    if not np.array_equal(kinds, expected[: len(kinds)]):
        raise CafxError("are of other images", where=str(labels), remedy=f"remove {features} and {labels}")
    return rows, pixels[: len(rows)].reshape(len(rows), -1).astype(np.float32), kinds, is_train[: len(rows)]


def standardised(rows, is_train):
    """Rows with mean 0 and standard deviation 1 over the training images, in each column."""
    mean, deviation = rows[is_train].mean(axis=0), rows[is_train].std(axis=0)
    return ((rows - mean) / np.maximum(deviation, 1e-6)).astype(np.float32)


def table(phase):
    """The path of the list of files that HDF5Data reads, here one of features and labels; made on first use."""
    path = HERE / f"{phase}{SUFFIX}.h5"
    if not path.exists():
        rows, _, labels, is_train = arrays()
        wanted = is_train == (phase == "train")
        with writing(path) as file:
            file.append("feature", standardised(rows, is_train)[wanted])
            file.append("label", labels[wanted].astype(np.float32))
    names = HERE / f"{phase}{SUFFIX}_list.txt"
    names.write_text(os.path.relpath(path) + "\n")
    return os.path.relpath(names)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    try:
        print(table("train"), table("test"))
    except CafxError as error:
        sys.exit(f"error: {error}")
