"""The commands of Caffe's tutorials, as they are written there, on small data and nets made here.

A tutorial runs in Caffe's root folder, where ``build/tools`` has the programs; here they are links.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from caffe.commands.entry import MODULES

from cafx_lib_feed.images import encode

pytestmark = pytest.mark.slow

PROGRAMS = Path(sys.executable).parent
COMMANDS = Path(__file__).with_name("tutorials.txt")
TIMEOUT = 300
PLACES = {"tools": "build/tools", "main": "build/tools", "logs": "tools/extra", "scripts": "python"}
EXAMPLES = {"convert_mnist_data": "mnist", "convert_mnist_siamese_data": "siamese", "convert_cifar_data": "cifar10"}

DATA = """
layer {{ name: "data" type: "Data" top: "{top}" top: "label" include {{ phase: {phase} }}
  transform_param {{ {transform} }} data_param {{ source: "{source}" batch_size: 4 backend: {backend} }} }}
"""
HEAD = """
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param {{ lr_mult: 1 }} param {{ lr_mult: 2 }}
  convolution_param {{ num_output: 4 kernel_size: 5 stride: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "fc7" type: "InnerProduct" bottom: "pool1" top: "fc7"
  inner_product_param {{ num_output: 8 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu7" type: "ReLU" bottom: "fc7" top: "fc7" }}
layer {{ name: "{last}" type: "InnerProduct" bottom: "fc7" top: "{last}"
  inner_product_param {{ num_output: {classes} weight_filler {{ type: "xavier" }} }} }}
"""
LOSS = """
layer {{ name: "accuracy" type: "Accuracy" bottom: "{last}" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{last}" bottom: "label" top: "loss" }}
"""
SOLVER = """
net: "{net}" test_iter: 2 test_interval: 5 base_lr: 0.001 momentum: 0.9 weight_decay: 0.0005 lr_policy: "step"
gamma: 0.1 stepsize: 8 display: 2 max_iter: {max_iter} snapshot: 5 snapshot_prefix: "{prefix}" solver_mode: GPU {more}
"""
SIAMESE = """
layer { name: "slice_pair" type: "Slice" bottom: "pair_data" top: "data" top: "data_p"
  slice_param { slice_dim: 1 slice_point: 1 } }
layer { name: "feat" type: "InnerProduct" bottom: "data" top: "feat" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "feat_p" type: "InnerProduct" bottom: "data_p" top: "feat_p" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "ContrastiveLoss" bottom: "feat" bottom: "feat_p" bottom: "label" top: "loss" }
"""

PRODUCTS = {
    "mnist": ["examples/mnist/lenet_iter_10.caffemodel", "lenet.log.train", "lenet.dot"],
    "cifar10": ["examples/cifar10/cifar10_quick_iter_14.caffemodel.h5", "cifar.dot"],
    "imagenet": ["models/bvlc_reference_caffenet/caffenet_train_iter_10.caffemodel", "out.npy"],
    "feature extraction": ["examples/_temp/features", "examples/_temp/fc7/data.mdb"],
    "siamese": ["examples/siamese/mnist_siamese_iter_10.caffemodel", "siamese_feat/data.mdb", "siamese.caffemodel"],
    "finetune": ["models/finetune_flickr_style/finetune_flickr_style_iter_10.caffemodel", "new_solver.prototxt"],
}


def tutorials() -> dict[str, list[str]]:
    """The commands of each tutorial, by its name in brackets."""
    sections = re.split(r"(?m)^\[(.+)\]$", COMMANDS.read_text("utf-8"))
    return {name: text.strip().splitlines() for name, text in zip(sections[1::2], sections[2::2], strict=True)}


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def link_programs(root: Path) -> None:
    """Caffe's programs at the paths of a source tree."""
    for module, names in MODULES.items():
        for name in names:
            for file in (name, f"{name}.bin", f"{name}.py"):
                if (PROGRAMS / file).exists():
                    place = root / (f"build/examples/{EXAMPLES[name]}" if name in EXAMPLES else PLACES[module])
                    place.mkdir(parents=True, exist_ok=True)
                    (place / file).symlink_to(PROGRAMS / file)


def write_images(root: Path) -> None:
    """Random images in the formats of MNIST, CIFAR-10 and ImageNet."""
    rng = np.random.default_rng(0)
    for name in ("data/mnist", "data/cifar10"):
        (root / name).mkdir(parents=True)
    for name in ("train", "t10k"):
        images, labels = rng.bytes(16 * 28 * 28), bytes(rng.integers(0, 10, 16).tolist())
        (root / f"data/mnist/{name}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, 16, 28, 28) + images)
        (root / f"data/mnist/{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, 16) + labels)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        items = rng.integers(0, 256, (8, 3073), dtype=np.uint8)
        items[:, 0] %= 10
        (root / f"data/cifar10/{name}.bin").write_bytes(items.tobytes())
    for name in ("train", "val"):
        (root / f"data/ilsvrc12/{name}").mkdir(parents=True)
        for number in range(8):
            image = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
            (root / f"data/ilsvrc12/{name}/{number}.png").write_bytes(encode(image, ".png", "image"))
        write(root, f"data/ilsvrc12/{name}.txt", "".join(f"{number}.png {number % 5}\n" for number in range(8)))


def write_model(
    root: Path, net: str, prefix: str, sources: tuple[str, str], transform: str, last: str, classes: int
) -> None:
    """A train_val prototxt with two data layers, and its solver beside it."""
    data = "".join(
        DATA.format(top="data", phase=phase, transform=transform, source=source, backend="LMDB")
        for phase, source in zip(("TRAIN", "TEST"), sources, strict=True)
    )
    write(root, net, data + HEAD.format(last=last, classes=classes) + LOSS.format(last=last))
    solver = re.sub(r"\w+\.prototxt", "solver.prototxt", net)
    write(root, solver, SOLVER.format(net=net, prefix=prefix, max_iter=10, more=""))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Caffe's root folder, with small nets of the names in the tutorials."""
    link_programs(tmp_path)
    write_images(tmp_path)
    mnist, cifar = "examples/mnist/", "examples/cifar10/"
    lenet = (f"{mnist}mnist_train_lmdb", f"{mnist}mnist_test_lmdb")
    write_model(tmp_path, f"{mnist}lenet_train_test.prototxt", f"{mnist}lenet", lenet, "scale: 0.00390625", "ip2", 10)
    (tmp_path / f"{mnist}solver.prototxt").rename(tmp_path / f"{mnist}lenet_solver.prototxt")
    quick = (f"{cifar}cifar10_train_lmdb", f"{cifar}cifar10_test_lmdb")
    mean, net = f'mean_file: "{cifar}mean.binaryproto"', f"{cifar}cifar10_quick_train_test.prototxt"
    write_model(tmp_path, net, f"{cifar}cifar10_quick", quick, mean, "ip2", 10)
    for name, count in (("cifar10_quick_solver", 10), ("cifar10_quick_solver_lr1", 14)):
        text = SOLVER.format(net=net, prefix=f"{cifar}cifar10_quick", max_iter=count, more="snapshot_format: HDF5")
        write(tmp_path, f"{cifar}{name}.prototxt", text)
    imagenet = ("examples/imagenet/ilsvrc12_train_lmdb", "examples/imagenet/ilsvrc12_val_lmdb")
    (tmp_path / "examples/imagenet").mkdir()
    mean = 'mirror: true crop_size: 27 mean_file: "data/ilsvrc12/imagenet_mean.binaryproto"'
    for model, prefix, last in (
        ("bvlc_reference_caffenet", "caffenet_train", "fc8"),
        ("finetune_flickr_style", "finetune_flickr_style", "fc8_flickr"),
    ):
        folder = f"models/{model}/"
        write_model(tmp_path, f"{folder}train_val.prototxt", folder + prefix, imagenet, mean, last, 5)
    deploy = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 10 dim: 3 dim: 27 dim: 27 } } }'
    prob = 'layer { name: "prob" type: "Softmax" bottom: "fc8" top: "prob" }'
    write(
        tmp_path, "models/bvlc_reference_caffenet/deploy.prototxt", deploy + HEAD.format(last="fc8", classes=5) + prob
    )
    listed = """layer { name: "data" type: "ImageData" top: "data" top: "label" transform_param { crop_size: 27 }
        image_data_param { source: "examples/_temp/file_list.txt" batch_size: 4 new_height: 32 new_width: 32 } }"""
    write(tmp_path, "examples/feature_extraction/imagenet_val.prototxt", listed + HEAD.format(last="fc8", classes=5))
    siamese = "examples/siamese/mnist_siamese"
    pairs = "".join(
        DATA.format(
            top="pair_data",
            phase=phase,
            transform="scale: 0.0039",
            source=f"{siamese}_{name}_leveldb",
            backend="LEVELDB",
        )
        for phase, name in (("TRAIN", "train"), ("TEST", "test"))
    )
    write(tmp_path, f"{siamese}_train_test.prototxt", pairs + SIAMESE)
    solver = SOLVER.format(net=f"{siamese}_train_test.prototxt", prefix=siamese, max_iter=10, more="")
    write(tmp_path, f"{siamese}_solver.prototxt", solver)
    return tmp_path


@pytest.mark.parametrize("tutorial", tutorials())
def test_a_tutorial_runs_as_written(tutorial: str, root: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("CAFX_ENGINE", "CAFX_STRICT_MODE")}
    env |= {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    commands = tutorials()[tutorial]
    assert len(commands) == 10
    for command in commands:
        bash = ["bash", "-o", "pipefail", "-c", command]
        done = subprocess.run(bash, cwd=root, env=env, text=True, capture_output=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    missing = [name for name in PRODUCTS[tutorial] if not (root / name).exists()]
    assert missing == []
