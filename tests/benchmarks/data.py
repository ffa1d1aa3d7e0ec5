"""How fast data come in: ``python data.py [--quick]``, all ratios from one run on one machine.

(a) raw 3×256×256 Datums from LMDB and LevelDB to 227 crop, mirror, mean, float batches, against a
    plain memcpy of as many stored bytes and against a PyTorch DataLoader doing the same;
(b) JPEG of 256×256 to the same, against the decoder alone on as many threads, and against the decoder
    followed by nothing but the array operations of the transformation: what is between the two
    is the price of the operations, what is left over is ours;
(c) the share of an iteration that LeNet and CaffeNet wait for a Data layer;
and whether memory stays level over 1,000 batches.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import itertools
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from cafx.kernel import TRAIN, CafxError, Net, Solver, registry, schema
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import cv2

SIDE, CROP, BATCH = 256, 227, 64
DISTINCT = 50  # images, that a database has over and over
WARM = 10  # batches, after which none is in store
HELD = 160  # images that a thread's share of a layer's batches has room for
MEAN = (104.0, 117.0, 123.0)
STORED = 3 * SIDE * SIDE
QUALITY = 95  # what convert-imageset --encode-type jpg writes
TRANSFORM = f"transform_param {{ crop_size: {CROP} mirror: true mean_value: 104 mean_value: 117 mean_value: 123 }}"


def in_turns(rounds: int, **runs: Callable[[], float]) -> dict[str, np.ndarray]:
    """Rates of several runs, taken in turns: what else the machine does meets them all alike."""
    rates = [[run() for run in runs.values()] for _ in range(rounds)]
    return dict(zip(runs, np.array(rates).T, strict=True))


def ratios(rates: dict[str, np.ndarray], name: str) -> str:
    """The median of a rate, and of its ratios to the others."""
    others = (
        f"{np.median(rates[name] / rates[other]):.2f} of {other} ({np.median(rates[other]):.0f}/s)"
        for other in rates
        if other != name
    )
    return f"{np.median(rates[name]):.0f} images/s; " + ", ".join(others)


def pictures(count: int) -> Iterator[np.ndarray]:
    """Smooth shapes with some noise: what compresses about as photographs do."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for _ in range(count):
        image = np.full((SIDE, SIDE, 3), 128, np.float32)
        for _ in range(12):
            y, x, width = *rng.uniform(0, SIDE, 2), rng.uniform(5, 60)
            blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / width**2)
            image += blob[:, :, None] * rng.uniform(-120, 120, 3).astype(np.float32)
        image += rng.standard_normal(image.shape, np.float32) * 6
        yield image.clip(0, 255).astype(np.uint8)


def make(folder: Path, backend: str, count: int, encoded: bool) -> Path:
    """A database of pictures, over and over from a set."""
    path = folder / f"{backend}{'_jpeg' * encoded}"
    values = []
    for index, image in enumerate(pictures(DISTINCT)):
        if encoded:
            data = cv2().imencode(".jpg", image, [cv2().IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            values.append(datum_bytes(None, index % 10, image=data, encoded=True))
        else:
            values.append(datum_bytes(image.transpose(2, 0, 1), index % 10, encoded=False))
    with registry().load("database", backend).create(path) as writer:
        for first in range(0, count, 100):
            writer.put([(b"%08d" % i, values[i % len(values)]) for i in range(first, first + 100)])
    return path


def data_net(path: Path, backend: str) -> str:
    """A net of a Data layer alone."""
    return (
        f'layer {{ name: "data" type: "Data" top: "data" top: "label" {TRANSFORM} '
        f'data_param {{ source: "{path}" backend: {backend} batch_size: {BATCH} }} }}'
    )


def parse(text: str, kind: str = "NetParameter") -> Any:
    """A message from its text."""
    return schema(registry()).parse_text(text, kind)


def feed_rate(path: Path, backend: str, batches: int) -> float:
    """Images a second out of a Data layer that does nothing else, once it has none in store.

    Each thread makes whole batches, so that they are as many for each: else the last one's is paid by all.
    """
    batches -= batches % (os.cpu_count() or 1)
    with Net(parse(data_net(path, backend)), TRAIN, engine="numpy", seed=1) as net:
        for _ in range(WARM):
            net.run_forward()
        start = time.perf_counter()
        for _ in range(batches):
            net.run_forward()
        return batches * BATCH / (time.perf_counter() - start)


def copy_rate(stored: np.ndarray) -> float:
    """Images a second that plain memcpy moves out of a database's bytes, a batch at a time on every core."""
    size = BATCH * STORED

    def work(jobs: Iterator[int]) -> None:
        target = np.zeros(size, np.uint8)
        for start in jobs:
            np.copyto(target, stored[start : start + size])

    return _threads(work, range(0, stored.size - size, size), BATCH)


def decode_rate(path: Path, count: int, transform: bool = False) -> float:
    """Images a second of the JPEG decoder alone, or with the bare operations on what it decodes."""
    with open_database(path) as reader:
        held = [bytes(value) for _, value in itertools.islice(reader.items(), DISTINCT)]
    images = [value[value.index(b"\xff\xd8\xff") :] for value in held]

    def work(jobs: Iterator[int]) -> None:
        target = np.empty((SIDE, SIDE, 3), np.uint8)
        finish = bare_transform(target) if transform else None
        for index in jobs:
            simplejpeg.decode_jpeg(images[index % len(images)], "BGR", buffer=target)
            if finish:
                finish(index)

    return _threads(work, range(count), 1)


def bare_transform(image: np.ndarray) -> Callable[[int], None]:
    """Crop, mirror, mean and float in as few operations as there are, into batches that come round."""
    outs = np.zeros((HELD, 3, CROP, CROP), np.float32)
    planes = np.empty((3, CROP, CROP), np.uint8)
    flipped = np.empty_like(planes)
    rows, flipped_rows, each = planes.reshape(-1, CROP), flipped.reshape(-1, CROP), list(planes)
    mean, window, split, flip = np.float32(MEAN).reshape(3, 1, 1), image[9:, 9:][:CROP, :CROP], cv2().split, cv2().flip

    def finish(index: int) -> None:
        out = outs[index % HELD]
        split(window, each)
        mirrored = index // 2 % 2  # of both threads' images, when they take turns
        if mirrored:
            flip(rows, 1, flipped_rows)
        np.copyto(out, flipped if mirrored else planes)
        np.subtract(out, mean, out)

    return finish


def _threads(work: Callable[[Iterator[Any]], None], jobs: Sequence[Any], images: int) -> float:
    """Images a second of a thread a core, that share jobs of some images."""
    shared = iter(jobs)
    threads = [threading.Thread(target=work, args=(shared,)) for _ in range(os.cpu_count() or 1)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(jobs) * images / (time.perf_counter() - start)


class TorchImages:
    """The same work as a PyTorch data set."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = str(path), count
        self.env: Any = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        import lmdb

        if self.env is None:
            self.env = lmdb.open(self.path, readonly=True, lock=False)
            self.datum = schema(registry())["Datum"]()
            self.mean = np.float32(MEAN).reshape(3, 1, 1)
        with self.env.begin(buffers=True) as transaction:
            self.datum.ParseFromString(bytes(transaction.get(b"%08d" % index)))
        datum = self.datum
        if datum.encoded:
            image = simplejpeg.decode_jpeg(datum.data, "BGR").transpose(2, 0, 1)
        else:
            image = np.frombuffer(datum.data, np.uint8).reshape(3, SIDE, SIDE)
        top, left = np.random.randint(0, SIDE - CROP + 1, 2)
        image = image[:, top : top + CROP, left : left + CROP]
        if np.random.randint(2):
            image = image[:, :, ::-1]
        return image.astype(np.float32) - self.mean, datum.label


def torch_rate(path: Path, count: int) -> float:
    """Images a second of a DataLoader with a worker a core."""
    from torch.utils.data import DataLoader

    loader = DataLoader(TorchImages(path, count), BATCH, num_workers=os.cpu_count() or 1, persistent_workers=True)
    for _ in loader:  # the workers start
        pass
    start = time.perf_counter()
    seen = sum(len(labels) for _, labels in loader)
    return seen / (time.perf_counter() - start)


LENET = """
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.00390625 }
  data_param { source: "%s" backend: LMDB batch_size: 64 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 20 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 50 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1"
  inner_product_param { num_output: 500 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


def caffenet(path: Path, batch: int) -> str:
    """CaffeNet for training on a database of 256×256 images."""
    layers = [
        f'layer {{ name: "data" type: "Data" top: "data" top: "label" {TRANSFORM} '
        f'data_param {{ source: "{path}" backend: LMDB batch_size: {batch} }} }}'
    ]
    below = "data"
    for index, (out, kernel, stride, pad, group, pool, norm) in enumerate(
        [
            (96, 11, 4, 0, 1, 1, 1), (256, 5, 1, 2, 2, 1, 1), (384, 3, 1, 1, 1, 0, 0),
            (384, 3, 1, 1, 2, 0, 0), (256, 3, 1, 1, 2, 1, 0),
        ],
        1,
    ):  # fmt: skip
        name = f"conv{index}"
        layers.append(
            f'layer {{ name: "{name}" type: "Convolution" bottom: "{below}" top: "{name}" convolution_param '
            f"{{ num_output: {out} kernel_size: {kernel} stride: {stride} pad: {pad} group: {group} "
            'weight_filler { type: "gaussian" std: 0.01 } } }'
        )
        layers.append(f'layer {{ name: "relu{index}" type: "ReLU" bottom: "{name}" top: "{name}" }}')
        below = name
        if pool:
            layers.append(
                f'layer {{ name: "pool{index}" type: "Pooling" bottom: "{below}" top: "pool{index}" '
                "pooling_param { kernel_size: 3 stride: 2 } }"
            )
            below = f"pool{index}"
        if norm:
            layers.append(
                f'layer {{ name: "norm{index}" type: "LRN" bottom: "{below}" top: "norm{index}" '
                "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }"
            )
            below = f"norm{index}"
    for index, out in ((6, 4096), (7, 4096), (8, 1000)):
        layers.append(
            f'layer {{ name: "fc{index}" type: "InnerProduct" bottom: "{below}" top: "fc{index}" '
            f'inner_product_param {{ num_output: {out} weight_filler {{ type: "gaussian" std: 0.005 }} }} }}'
        )
        below = f"fc{index}"
        if index < 8:
            layers.append(f'layer {{ name: "relu{index}" type: "ReLU" bottom: "{below}" top: "{below}" }}')
            layers.append(f'layer {{ name: "drop{index}" type: "Dropout" bottom: "{below}" top: "{below}" }}')
    layers.append(f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{below}" bottom: "label" top: "loss" }}')
    return "\n".join(layers)


def waiting(text: str, iterations: int, engine: str | None) -> tuple[float, float]:
    """The share of training that is spent in the Data layer, and the seconds an iteration takes."""
    options = parse(
        'base_lr: 0.001 lr_policy: "fixed" max_iter: 1000000 snapshot_after_train: false', "SolverParameter"
    )
    options.net_param.CopyFrom(parse(text))
    with Solver(options, engine=engine, seed=1) as solver:
        layer, spent = solver.net.layers[0], [0.0]
        forward = layer.next_batch  # type: ignore[attr-defined]

        def timed() -> Any:
            start = time.perf_counter()
            batch = forward()
            spent[0] += time.perf_counter() - start
            return batch

        layer.next_batch = timed  # type: ignore[attr-defined]
        solver.step(2)
        spent[0], start = 0.0, time.perf_counter()
        solver.step(iterations)
        total = time.perf_counter() - start
    return spent[0] / total, total / iterations


def mnist_like(folder: Path) -> Path:
    """A database of 28×28 images."""
    path = folder / "digits"
    rng = np.random.default_rng(2)
    with registry().load("database", "LMDB").create(path) as writer:
        images = rng.integers(0, 256, (2000, 1, 28, 28), dtype=np.uint8)
        writer.put([(b"%08d" % i, datum_bytes(image, i % 10)) for i, image in enumerate(images)])
    return path


def growth(path: Path, backend: str, batches: int) -> float:
    """MiB by which the process grew over that many batches, after a few."""
    with Net(parse(data_net(path, backend)), TRAIN, engine="numpy", seed=1) as net:
        for _ in range(60):
            net.run_forward()
        before = _resident()
        for _ in range(batches):
            net.run_forward()
        return (_resident() - before) / 2**20


def _resident() -> float:
    """Private bytes in memory: pages of the mapped database are the system's, not ours."""
    text = Path("/proc/self/smaps_rollup")
    if not text.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    lines = [line.split() for line in text.read_text().splitlines() if line.startswith("Anonymous")]
    return float(lines[0][1]) * 1024


def main() -> None:
    """Run all and print one line each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="fewer batches")
    arguments.add_argument("--only", choices="abcm", help="one of (a), (b), (c) and memory")
    arguments.add_argument("--engine", help="for (c); default the best installed")
    given = arguments.parse_args()
    count, rounds = (1000, 2) if given.quick else (4000, 5)
    torch = importlib.util.find_spec("torch") is not None
    print(f"{os.cpu_count()} cores; {count} images; PyTorch {'found' if torch else 'not installed'}")
    parts: dict[str, Callable[[Path, int, int], None]] = {
        "a": functools.partial(raw_images, torch=torch), "b": functools.partial(jpeg_images, torch=torch),
        "c": functools.partial(training, engine=given.engine), "m": memory,
    }  # fmt: skip
    for name in given.only or parts:
        with tempfile.TemporaryDirectory() as folder:
            parts[name](Path(folder), count, rounds)


def raw_images(folder: Path, count: int, rounds: int, torch: bool) -> None:
    """(a)."""
    paths = {backend: make(folder, backend, count, False) for backend in ("LMDB", "LEVELDB")}
    stored = np.memmap(paths["LMDB"] / "data.mdb", np.uint8, "r")
    runs = {name: functools.partial(feed_rate, path, name, count // BATCH) for name, path in paths.items()}
    runs["memcpy"] = functools.partial(copy_rate, stored)
    if torch:
        runs["PyTorch"] = functools.partial(torch_rate, paths["LMDB"], count)
    rates = in_turns(rounds, **runs)
    for name in paths:
        low, middle = (f(rates[name]) * STORED / 1e9 for f in (np.min, np.median))
        print(f"(a) {name}: {middle:.2f} GB/s stored (at least {low:.2f}), {ratios(rates, name)}")


def jpeg_images(folder: Path, count: int, rounds: int, torch: bool) -> None:
    """(b)."""
    path = make(folder, "LMDB", count, True)
    runs = {
        "JPEG": functools.partial(feed_rate, path, "LMDB", count // BATCH),
        "decoder": functools.partial(decode_rate, path, count),
        "bare": functools.partial(decode_rate, path, count, True),
    }
    if torch:
        runs["PyTorch"] = functools.partial(torch_rate, path, count)
    rates = in_turns(rounds, **runs)
    print(f"(b) JPEG: {ratios(rates, 'JPEG')}")
    print(f"(b) bare operations: {np.median(rates['bare'] / rates['decoder']):.2f} of decoder")


def training(folder: Path, count: int, rounds: int, engine: str | None) -> None:
    """(c)."""
    raw = make(folder, "LMDB", count, False)
    try:
        share, seconds = waiting(LENET % mnist_like(folder), 100 * rounds, engine)
        print(f"(c) LeNet waits {share:.2%} of an iteration of {seconds * 1e3:.1f} ms")
        share, seconds = waiting(caffenet(raw, 16), 4 * rounds, engine)
        print(f"(c) CaffeNet waits {share:.2%} of an iteration of {seconds * 1e3:.0f} ms (batch 16)")
    except CafxError as error:
        print(f"(c) not run: {error}")


def memory(folder: Path, count: int, rounds: int) -> None:
    """Whether it grows."""
    batches = 200 * rounds
    for backend, encoded in (("LMDB", False), ("LEVELDB", False), ("LMDB", True)):
        path = make(folder, backend, 1000, encoded)
        kind = "JPEG" if encoded else "raw"
        print(f"memory grew by {growth(path, backend, batches):.1f} MiB over {batches:,} batches ({backend}, {kind})")


if __name__ == "__main__":
    main()
