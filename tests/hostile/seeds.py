"""Small valid inputs of every kind, made by cafx itself: what the changes start from."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np

from cafx.kernel import Solver, registry
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_feed.datum import datum_bytes

NET = """
name: "tiny"
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "raw_lmdb" backend: LMDB batch_size: 3 } transform_param { scale: 0.0039 mirror: true } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "drop" type: "Dropout" bottom: "bn" top: "bn" }
layer { name: "ip" type: "InnerProduct" bottom: "bn" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.001 lr_policy: "step" gamma: 0.1 stepsize: 2 momentum: 0.9 type: "{type}" max_iter: 3
snapshot: 3 snapshot_prefix: "snap_{format}" snapshot_format: {format} random_seed: 1 test_iter: 1 test_interval: 2
average_loss: 2 display: 0
"""
FORMATS = {"BINARYPROTO": "Adam", "HDF5": "SGD"}
SUFFIXES = {"BINARYPROTO": "", "HDF5": ".h5"}
IMAGES = 8
HEIGHT, WIDTH = 16, 20
"""The size of the images in the database: that of the files in ../shared/cases_hostile, whose states fit this net."""


def make_seeds() -> None:
    """Write all seeds to the present folder."""
    rng = np.random.default_rng(1)
    pictures = np.cumsum(rng.integers(-9, 10, (IMAGES, 3, HEIGHT, WIDTH)), axis=2).astype(np.uint8)
    for name, backend in (("raw_lmdb", "LMDB"), ("raw_leveldb", "LEVELDB")):
        with registry().load("database", backend).create(Path(name)) as writer:
            writer.put([(b"%08d" % index, datum_bytes(each, index % 10)) for index, each in enumerate(pictures)])
    Path("net.prototxt").write_text(NET)
    for kind, solver_type in FORMATS.items():
        Path(f"solver_{kind}.prototxt").write_text(SOLVER.format(type=solver_type, format=kind))
        with Solver.load(f"solver_{kind}.prototxt", engine="numpy") as solver:
            solver.solve()
    write_binaryproto(Path("mean.binaryproto"), pictures.mean(0, dtype=np.float64).astype(np.float32))
    with h5py.File("rows.h5", "w") as file:
        file["rows"] = rng.standard_normal((6, 4)).astype(np.float32)
        file.create_dataset("label", data=np.arange(6, dtype=np.float32), chunks=(2,), compression="gzip")
    Path("images").mkdir()
    for index, suffix in enumerate(("png", "jpg", "bmp", "tiff", "webp", "ppm")):
        encoded, data = cv2.imencode(f".{suffix}", np.ascontiguousarray(pictures[index].transpose(1, 2, 0)))
        assert encoded, suffix
        Path(f"images/{index}.{suffix}").write_bytes(data.tobytes())
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    Path("images/progressive.jpg").write_bytes(cv2.imencode(".jpg", pictures[0, 0], options)[1].tobytes())


if __name__ == "__main__":
    make_seeds()
