"""Speed of data layers: ``python data.py [--quick]``. All ratios come from one run on one machine.

(a) Raw 3×256×256 Datums from LMDB and LevelDB to batches (crop to 227, mirror, subtract the mean), compared with a
    memcpy of the stored bytes and with a PyTorch DataLoader doing the same.
(b) JPEG images of 256×256 to the same batches, compared with the decoder alone on as many threads, and
    with the decoder followed by the bare array operations of the transformation.
    Batches are kept as bytes until a layer reads them; "floats" is with a reader on the host.
(c) The share of an iteration that LeNet and CaffeNet wait for a Data layer.
(m) Memory growth over 1,000 batches.
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
from models import caffenet, lenet

from cafx.kernel import HOST, TRAIN, CafxError, Net, Solver, registry, schema
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import cv2

SIDE, CROP, BATCH = 256, 227, 64
DISTINCT = 50  # images, repeated to fill a database
WARM = 10  # batches, which use up those prefetched
BUFFERED = 160  # images in a thread's share of a layer's batches
MEAN = (104.0, 117.0, 123.0)
STORED = 3 * SIDE * SIDE
QUALITY = 95  # what convert-imageset --encode-type jpg writes
TRANSFORM = f"crop_size: {CROP} mirror: true mean_value: 104 mean_value: 117 mean_value: 123"


def interleaved(rounds: int, **runs: Callable[[], float]) -> dict[str, np.ndarray]:
    """Rates of interleaved runs, so that other load on the machine affects all of them."""
    rates = [[run() for run in runs.values()] for _ in range(rounds)]
    return dict(zip(runs, np.array(rates).T, strict=True))


def ratios(rates: dict[str, np.ndarray], name: str) -> str:
    """The median rate, and the median ratios to the other rates."""
    others = (
        f"{np.median(rates[name] / rates[other]):.2f} of {other} ({np.median(rates[other]):.0f}/s)"
        for other in rates
        if other != name
    )
    return f"{np.median(rates[name]):.0f} images/s; " + ", ".join(others)


def pictures(count: int) -> Iterator[np.ndarray]:
    """Smooth shapes with noise, which compress about as well as photographs."""
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


def write_database(folder: Path, backend: str, count: int, encoded: bool) -> Path:
    """A database of images, repeated from a small set."""
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


def data_layer(path: Path, backend: str = "LMDB", batch: int = BATCH, transform: str = TRANSFORM) -> str:
    """A Data layer."""
    return (
        f'layer {{ name: "data" type: "Data" top: "data" top: "label" transform_param {{ {transform} }} '
        f'data_param {{ source: "{path}" backend: {backend} batch_size: {batch} }} }}'
    )


def parse(text: str, kind: str = "NetParameter") -> Any:
    """Parse a message."""
    return schema(registry()).parse_text(text, kind)


def feed_rate(path: Path, backend: str, batches: int, *, read: bool = False) -> float:
    """Images per second from a Data layer once its prefetched batches are used up, read as floats or not.

    The number of batches is a multiple of the number of threads, so that no thread idles at the end.
    """
    batches -= batches % (os.cpu_count() or 1)
    with Net(parse(data_layer(path, backend)), TRAIN, engine="numpy", seed=1) as net:
        data = net.blobs["data"].synced_data
        for _ in range(WARM):
            net.run_forward()
        data.read(HOST)
        start = time.perf_counter()
        for _ in range(batches):
            net.run_forward()
            if read:
                data.read(HOST)
        return batches * BATCH / (time.perf_counter() - start)


def copy_rate(stored: np.ndarray) -> float:
    """Images per second that memcpy copies from a database, one batch at a time on every core."""
    size = BATCH * STORED

    def work(jobs: Iterator[int]) -> None:
        target = np.zeros(size, np.uint8)
        for start in jobs:
            np.copyto(target, stored[start : start + size])

    return _threads(work, range(0, stored.size - size, size), BATCH)


def decode_rate(path: Path, count: int, transform: bool = False) -> float:
    """Images per second of the JPEG decoder, alone or followed by the bare transformation."""
    with open_database(path) as reader:
        values = [bytes(value) for _, value in itertools.islice(reader.items(), DISTINCT)]
    images = [value[value.index(b"\xff\xd8\xff") :] for value in values]

    def work(jobs: Iterator[int]) -> None:
        target = np.empty((SIDE, SIDE, 3), np.uint8)
        finish = bare_transform(target) if transform else None
        for index in jobs:
            simplejpeg.decode_jpeg(images[index % len(images)], "BGR", buffer=target)
            if finish:
                finish(index)

    return _threads(work, range(count), 1)


def bare_transform(image: np.ndarray) -> Callable[[int], None]:
    """Crop, mirror, subtract the mean and convert to float in as few operations as possible, into reused batches."""
    outs = np.zeros((BUFFERED, 3, CROP, CROP), np.float32)
    planes = np.empty((3, CROP, CROP), np.uint8)
    flipped = np.empty_like(planes)
    rows, flipped_rows, each = planes.reshape(-1, CROP), flipped.reshape(-1, CROP), list(planes)
    mean, window, split, flip = np.float32(MEAN).reshape(3, 1, 1), image[9:, 9:][:CROP, :CROP], cv2().split, cv2().flip

    def finish(index: int) -> None:
        out = outs[index % BUFFERED]
        split(window, each)
        mirrored = index // 2 % 2  # half of the images of each of two threads
        if mirrored:
            flip(rows, 1, flipped_rows)
        np.copyto(out, flipped if mirrored else planes)
        np.subtract(out, mean, out)

    return finish


def _threads(work: Callable[[Iterator[Any]], None], jobs: Sequence[Any], images: int) -> float:
    """Images per second of one thread per core, which share jobs of a number of images."""
    shared = iter(jobs)
    threads = [threading.Thread(target=work, args=(shared,)) for _ in range(os.cpu_count() or 1)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(jobs) * images / (time.perf_counter() - start)


class TorchImages:
    """The same work as a PyTorch dataset."""

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
    """Images per second of a DataLoader with one worker per core."""
    from torch.utils.data import DataLoader

    loader = DataLoader(TorchImages(path, count), BATCH, num_workers=os.cpu_count() or 1, persistent_workers=True)
    for _ in loader:  # starts the workers
        pass
    start = time.perf_counter()
    seen = sum(len(labels) for _, labels in loader)
    return seen / (time.perf_counter() - start)


def waiting(text: str, iterations: int, engine: str | None) -> tuple[float, float]:
    """The share of training time spent waiting for the Data layer, and the seconds per iteration."""
    options = parse('base_lr: 1e-9 lr_policy: "fixed" max_iter: 1000000 snapshot_after_train: false', "SolverParameter")
    options.net_param.CopyFrom(parse(text))
    with Solver(options, engine=engine, seed=1) as solver:
        layer, waited = solver.net.layers[0], [0.0]
        next_batch = layer.next_batch  # type: ignore[attr-defined]

        def timed() -> Any:
            start = time.perf_counter()
            batch = next_batch()
            waited[0] += time.perf_counter() - start
            return batch

        layer.next_batch = timed  # type: ignore[attr-defined]
        solver.step(2)
        waited[0], start = 0.0, time.perf_counter()
        solver.step(iterations)
        total = time.perf_counter() - start
    return waited[0] / total, total / iterations


def mnist_like(folder: Path) -> Path:
    """A database of 28×28 images, as large as those of MNIST."""
    path = folder / "digits"
    rng = np.random.default_rng(2)
    with registry().load("database", "LMDB").create(path) as writer:
        images = rng.integers(0, 256, (2000, 1, 28, 28), dtype=np.uint8)
        writer.put([(b"%08d" % i, datum_bytes(image, i % 10)) for i, image in enumerate(images)])
    return path


def growth(path: Path, backend: str, batches: int) -> float:
    """MiB by which the process grew over a number of batches, after a warm-up."""
    with Net(parse(data_layer(path, backend)), TRAIN, engine="numpy", seed=1) as net:
        for _ in range(60):
            net.run_forward()
        before = _resident()
        for _ in range(batches):
            net.run_forward()
        return (_resident() - before) / 2**20


def _resident() -> float:
    """Private resident bytes, without the pages of the mapped database."""
    text = Path("/proc/self/smaps_rollup")
    if not text.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    lines = [line.split() for line in text.read_text().splitlines() if line.startswith("Anonymous")]
    return float(lines[0][1]) * 1024


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    parser.add_argument("--only", choices="abcm", help="run one part only")
    parser.add_argument("--engine", help="engine for (c) (default: the fastest installed)")
    given = parser.parse_args()
    count, rounds = (1000, 2) if given.quick else (4000, 5)
    torch = importlib.util.find_spec("torch") is not None
    print(f"{os.cpu_count()} cores, {count} images, {'with' if torch else 'without'} PyTorch")
    parts: dict[str, Callable[[Path, int, int], None]] = {
        "a": functools.partial(raw_images, torch=torch),
        "b": functools.partial(jpeg_images, torch=torch),
        "c": functools.partial(training, engine=given.engine),
        "m": memory,
    }
    for name in given.only or parts:
        with tempfile.TemporaryDirectory() as folder:
            parts[name](Path(folder), count, rounds)


def raw_images(folder: Path, count: int, rounds: int, torch: bool) -> None:
    """Part (a): raw images."""
    paths = {backend: write_database(folder, backend, count, False) for backend in ("LMDB", "LEVELDB")}
    stored = np.memmap(paths["LMDB"] / "data.mdb", np.uint8, "r")
    runs = {name: functools.partial(feed_rate, path, name, count // BATCH) for name, path in paths.items()}
    runs["floats"] = functools.partial(feed_rate, paths["LMDB"], "LMDB", count // BATCH, read=True)
    runs["memcpy"] = functools.partial(copy_rate, stored)
    if torch:
        runs["PyTorch"] = functools.partial(torch_rate, paths["LMDB"], count)
    rates = interleaved(rounds, **runs)
    for name in (*paths, "floats"):
        low, middle = (f(rates[name]) * STORED / 1e9 for f in (np.min, np.median))
        print(f"(a) {name}: {middle:.2f} GB/s stored (minimum {low:.2f}), {ratios(rates, name)}")


def jpeg_images(folder: Path, count: int, rounds: int, torch: bool) -> None:
    """Part (b): JPEG images."""
    path = write_database(folder, "LMDB", count, True)
    runs = {
        "JPEG": functools.partial(feed_rate, path, "LMDB", count // BATCH),
        "floats": functools.partial(feed_rate, path, "LMDB", count // BATCH, read=True),
        "decoder": functools.partial(decode_rate, path, count),
        "bare": functools.partial(decode_rate, path, count, True),
    }
    if torch:
        runs["PyTorch"] = functools.partial(torch_rate, path, count)
    rates = interleaved(rounds, **runs)
    for name in ("JPEG", "floats"):
        print(f"(b) {name}: {ratios(rates, name)}")
    print(f"(b) bare operations: {np.median(rates['bare'] / rates['decoder']):.2f} of decoder")


def training(folder: Path, count: int, rounds: int, engine: str | None) -> None:
    """Part (c): waiting times in training."""
    raw = write_database(folder, "LMDB", count, False)
    digits = data_layer(mnist_like(folder), transform="scale: 0.00390625")
    try:
        share, seconds = waiting(str(lenet(source=digits)), 100 * rounds, engine)
        print(f"(c) LeNet waits for {share:.2%} of an iteration of {seconds * 1e3:.1f} ms")
        share, seconds = waiting(str(caffenet(source=data_layer(raw, batch=16))), 4 * rounds, engine)
        print(f"(c) CaffeNet waits for {share:.2%} of an iteration of {seconds * 1e3:.0f} ms (batch 16)")
    except CafxError as error:
        print(f"(c) failed: {error}")


def memory(folder: Path, count: int, rounds: int) -> None:
    """Part (m): memory growth."""
    batches = 200 * rounds
    for backend, encoded in (("LMDB", False), ("LEVELDB", False), ("LMDB", True)):
        path = write_database(folder, backend, 1000, encoded)
        kind = "JPEG" if encoded else "raw"
        print(
            f"(m) memory grew by {growth(path, backend, batches):.1f} MiB over {batches:,} batches ({backend}, {kind})"
        )


if __name__ == "__main__":
    main()
