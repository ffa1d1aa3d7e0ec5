"""Makes pictures of several handwritten digits and their boxes: ``python data.py [OUT] --train 2000 --test 500``.

In the folder OUT (default: this one): the databases ``train_lmdb`` and ``test_lmdb`` of AnnotatedDatums, and for the
evaluation ``labelmap.prototxt`` (digit d has label d + 1, 0 is the background) and ``name_size.txt``.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cafx.kernel import CafxError, registry
from cafx_command_convert_mnist import IMAGES, LABELS, read_idx
from cafx_lib_annotated.records import COLUMNS, CORNERS, LABEL_COLUMN, encoded_datum, record_bytes, with_instances
from cafx_lib_feed.images import cv2, encode

HERE = Path(__file__).resolve().parent
BESIDE_REPOSITORY = (HERE / "../../../../shared/datasets/mnist").resolve()
NAMES = {"train": "train", "test": "t10k"}
SIDE = 128
DIGITS, SIZES = (1, 4), (28, 72)  # per picture, and side of a digit's square in pixels, inclusive
INK = 96  # grey level from which a pixel belongs to the digit
TRIALS = 20  # places to try for a digit, before it is left out
SKLEARN_TEST = 360
BATCH = 500
Sources = tuple[np.ndarray, np.ndarray]


def make(out: Path, train: int = 2000, test: int = 500, seed: int = 0) -> None:
    """Write both databases, the label map and the sizes to ``out``; what exists is kept.

    Args:
        out: the folder, created if necessary.
        train, test: numbers of pictures.
        seed: seed of all draws.
    """
    out.mkdir(parents=True, exist_ok=True)
    for phase, count in (("train", train), ("test", test)):
        if not (out / f"{phase}_lmdb").exists():
            rng = np.random.default_rng([seed, list(NAMES).index(phase)])
            write(out / f"{phase}_lmdb", pictures(*digits(phase), count, rng))
    classes = ["none_of_the_above", *map(str, range(10))]
    shown = ["background", *classes[1:]]
    items = [
        f'item {{\n  name: "{name}"\n  label: {label}\n  display_name: "{display}"\n}}\n'
        for label, (name, display) in enumerate(zip(classes, shown, strict=True))
    ]
    (out / "labelmap.prototxt").write_text("".join(items))
    (out / "name_size.txt").write_text("".join(f"{index:08d} {SIDE} {SIDE}\n" for index in range(test)))


def digits(phase: str) -> Sources:
    """MNIST's digits (N×28×28, in CAFX_DATA, this folder or ../shared), else scikit-learn's, and which they are."""
    folder = os.environ.get("CAFX_DATA")
    for place in [Path(folder)] if folder else [HERE, BESIDE_REPOSITORY]:
        images = place / f"{NAMES[phase]}-images-idx3-ubyte.gz"
        if images.is_file():
            labels = place / f"{NAMES[phase]}-labels-idx1-ubyte.gz"
            return read_idx(str(images), IMAGES), read_idx(str(labels), LABELS)
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        remedy = "pip install scikit-learn for its digits, or name MNIST's folder: CAFX_DATA=FOLDER"
        raise CafxError("there are no digits", expected="MNIST's four files", remedy=remedy) from None
    found = load_digits()
    order = np.random.default_rng(1).permutation(len(found.target))
    chosen = order[:SKLEARN_TEST] if phase == "test" else order[SKLEARN_TEST:]
    levels = np.minimum(found.images[chosen] * 16, 255).astype(np.uint8)
    return levels, found.target[chosen]


def pictures(sources: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield AnnotatedDatums: digits of random size and colour on a random dark colour, apart from each other."""
    for _ in range(count):
        picture = np.empty((SIDE, SIDE, 3), np.uint8)
        picture[:] = rng.integers(0, 90, 3)
        rows: list[list[float]] = []
        for _ in range(rng.integers(DIGITS[0], DIGITS[1] + 1)):
            number = int(rng.integers(len(labels)))
            box = paste(picture, sources[number], [row[CORNERS] for row in rows], rng)
            if box is not None:
                rows.append([labels[number] + 1, 0, *box, 0])
        boxes = np.array(rows, np.float32).reshape(-1, COLUMNS)
        boxes[:, CORNERS] /= SIDE
        boxes = with_instances(boxes[np.argsort(boxes[:, LABEL_COLUMN], kind="stable")])
        datum = encoded_datum(encode(picture, ".png", "digits"), (3, SIDE, SIDE), -1)
        yield record_bytes(datum, boxes)


def paste(picture: np.ndarray, source: np.ndarray, taken: list[list[float]], rng: np.random.Generator) -> list | None:
    """Draw a digit where it touches none of the boxes ``taken``; its tight box in pixels, or None."""
    side = int(rng.integers(SIZES[0], SIZES[1] + 1))
    digit = cv2().resize(source, (side, side))
    ys, xs = np.nonzero(digit >= INK)
    if not len(ys):
        return None
    digit = digit[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    height, width = digit.shape
    for _ in range(TRIALS):
        left, top = int(rng.integers(SIDE - width + 1)), int(rng.integers(SIDE - height + 1))
        box = [left, top, left + width, top + height]
        if all(box[0] >= x1 or box[2] <= x0 or box[1] >= y1 or box[3] <= y0 for x0, y0, x1, y1 in taken):
            opacity = digit[:, :, None] / 255
            window = picture[top : top + height, left : left + width]
            window[:] = np.rint(window * (1 - opacity) + rng.integers(150, 256, 3) * opacity)
            return box
    return None


def write(folder: Path, values: Iterator[bytes]) -> None:
    """Write the database under a temporary name until it is complete."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        with registry().load("database", "LMDB").create(draft) as writer:
            items: list[tuple[bytes, bytes]] = []
            for number, value in enumerate(values):
                items.append((b"%08d" % number, value))
                if len(items) == BATCH:
                    writer.put(items)
                    items = []
            if items:
                writer.put(items)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=HERE, help="folder to write to (default: this one)")
    parser.add_argument("--train", type=int, default=2000, help="number of training pictures (default: 2000)")
    parser.add_argument("--test", type=int, default=500, help="number of test pictures (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    options = parser.parse_args()
    if min(options.train, options.test) < 1:
        parser.error("--train and --test must be at least 1")
    try:
        make(options.out, options.train, options.test, options.seed)
    except CafxError as error:
        sys.exit(str(error))
    print(f"{options.train} and {options.test} pictures in {options.out}")


if __name__ == "__main__":
    main()
