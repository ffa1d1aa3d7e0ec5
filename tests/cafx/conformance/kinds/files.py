"""Small files that cases of commands need: nets, weights, images, databases."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cafx.kernel import TEST, Net, registry

SIDE, COUNT = 6, 4
NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def write_net(folder: Path) -> None:
    """Write ``net.prototxt``, which classifies images of 6×6 pixels, and its weights ``net.caffemodel``."""
    (folder / "net.prototxt").write_text(NET)
    with Net(folder / "net.prototxt", TEST, engine="numpy", seed=1) as net:
        net.save(folder / "net.caffemodel")


def write_images(folder: Path) -> None:
    """Write four images of 6×6 pixels to ``images``, and ``list.txt`` with their names and labels."""
    from cafx_lib_feed.images import encode

    (folder / "images").mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    for index, image in enumerate(pixels):
        (folder / f"images/{index}.png").write_bytes(encode(image, ".png", "image"))
    (folder / "list.txt").write_text("".join(f"{index}.png {index % 2}\n" for index in range(COUNT)))


def write_database(folder: Path, name: str = "db") -> None:
    """Write an LMDB database of four images of 6×6 pixels."""
    from cafx_lib_feed.datum import datum_bytes

    pixels = np.random.default_rng(2).integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8)
    with registry().load("database", "LMDB").create(folder / name) as writer:
        writer.put([(b"%08d" % index, datum_bytes(image, index % 2)) for index, image in enumerate(pixels)])


def database_contents(folder: Path) -> dict[str, list[tuple[bytes, bytes]]]:
    """The items of the databases in a folder, by name."""
    from cafx_lib_feed.database import open_database

    found = {}
    for path in sorted(each for each in folder.iterdir() if each.is_dir() and is_database(each)):
        with open_database(path) as reader:
            found[path.name] = [(bytes(key), bytes(value)) for key, value in reader.items()]
    return found


def is_database(path: Path) -> bool:
    """Whether a folder is a database of LMDB or LevelDB."""
    return (path / "data.mdb").exists() or (path / "CURRENT").exists()
