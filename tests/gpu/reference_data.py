"""Copy the reference data that the GPU tests read: ``python reference_data.py SHARED FOLDER``.

Golden cases of layers and nets, and of MNIST all test images but few training images.
"""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

GOLDEN = ("golden/layers", "golden/nets")
MNIST = "datasets/mnist"
TRAINING_IMAGES = 6400
IMAGE_BYTES, IMAGE_HEADER, LABEL_HEADER = 28 * 28, 16, 8


def first(source: Path, target: Path, count: int, header: int, each: int) -> None:
    """Write the first items of an IDX file, with the number of items changed."""
    content = gzip.decompress(source.read_bytes())
    kept = content[:4] + count.to_bytes(4, "big") + content[8 : header + count * each]
    target.write_bytes(gzip.compress(kept, 9))


def main() -> None:
    """Copy what is there."""
    shared, folder = (Path(argument) for argument in sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    for name in GOLDEN:
        if (shared / name).is_dir():
            shutil.copytree(shared / name, folder / name)
    source, target = shared / MNIST, folder / MNIST
    if source.is_dir():
        target.mkdir(parents=True)
        for kind, header, each in (("images-idx3", IMAGE_HEADER, IMAGE_BYTES), ("labels-idx1", LABEL_HEADER, 1)):
            name = f"train-{kind}-ubyte.gz"
            first(source / name, target / name, TRAINING_IMAGES, header, each)
            name = f"t10k-{kind}-ubyte.gz"
            shutil.copyfile(source / name, target / name)
    missing = [name for name in (*GOLDEN, MNIST) if not (folder / name).is_dir()]
    if missing:
        print(f"not in {shared}: {', '.join(missing)}; what needs them will be left out")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
