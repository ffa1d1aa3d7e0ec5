"""Speed of data jobs on this machine: images per second, and how many such machines 40 million images per day take.

    uv run python tests/benchmarks/jobs.py [--images 3000] [--workers 2] [--rounds 3] [--quick]

(a) convert-imageset --resize 256x256 of JPEGs of 375×500, serial with threads, as a job, and as a job that writes
    shards; compared with processes that only read, decode, resize and write the same bytes to files; also in processor
    time, which other processes disturb less.
(b) extract-features from JPEGs with SqueezeNet (../shared/models) and CaffeNet, compared with forward passes of the
    same net on as many threads, with its data, as `cafx time` measures, and without any.

Rates are those of further images: of a long run less a short one, so that the start of processes does not count.

Runs are interleaved, and medians are printed with the machine's load: other processes slow all of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZE, SIDE, CROP, BATCH, DISTINCT, QUALITY = (375, 500), 256, 227, 16, 50, 95
PER_SECOND = 40_000_000 / 86_400
SHARED = Path(os.environ.get("CAFX_SHARED", Path(__file__).parents[3] / "shared"))
SQUEEZENET = SHARED / "models/squeezenet_v1.0"
DATA = """
layer {{ name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param {{ source: "{folder}/list" root_folder: "{folder}/images/" batch_size: {batch} }}
  transform_param {{ crop_size: {crop} mean_value: 104 mean_value: 117 mean_value: 123 }} }}
"""


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--images", type=int, default=3000, help="images to convert")
    parser.add_argument("--batches", type=int, default=40, help=f"further batches of {BATCH} to extract from")
    parser.add_argument("--workers", type=int, default=2, help="workers of a job")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is run")
    parser.add_argument("--quick", action="store_true", help="few images, once: does it run at all")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.batches, arguments.rounds = 300, 4, 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder, arguments.images)
        convert(folder, arguments)
        for label, make in (("squeezenet", squeezenet), ("caffenet", caffenet)):
            extract(label, *make(folder), folder, arguments)


def make_images(folder: Path, count: int) -> None:
    """Write JPEGs with the detail of photos, and a list of them."""
    from cafx_lib_feed.images import cv2

    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    quality = [int(cv2().IMWRITE_JPEG_QUALITY), QUALITY]
    encoded = []
    for _ in range(DISTINCT):
        noise = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        encoded.append(cv2().imencode(".jpg", cv2().GaussianBlur(noise, (0, 0), 2), quality)[1].tobytes())
    names = [f"{number:06d}.jpg" for number in range(count)]
    for number, each in enumerate(names):
        (folder / "images" / each).write_bytes(encoded[number % DISTINCT])
    (folder / "list").write_text("".join(f"{each} {number % 10}\n" for number, each in enumerate(names)))


def seconds(run: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def processor_seconds() -> float:
    """The processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cafx(*arguments: Any) -> None:
    """Run a command of cafx with an engine's default settings."""
    command = [sys.executable, "-m", "cafx.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)


def load() -> str:
    """The machine's load, in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def convert(folder: Path, arguments: argparse.Namespace) -> None:
    """Print table (a)."""
    workers, resized = ("--workers", arguments.workers), ("--resize", f"{SIDE}x{SIDE}")
    runs: dict[str, Callable[[Path], Any]] = {
        "decoder and disk": lambda listed: bare(folder, listed, arguments.workers),
        "serial, threads": lambda listed: cafx("convert-imageset", *resized, folder / "images", listed, folder / "out"),
        "job": lambda listed: cafx("convert-imageset", *resized, folder / "images", listed, folder / "out", *workers),
        "job, shards": lambda listed: cafx(
            "convert-imageset",
            *resized,
            folder / "images",
            listed,
            folder / "out",
            *workers,
            "--shards",
            2 * arguments.workers,
        ),
    }
    few = arguments.images // 10
    (folder / "few").write_text("".join((folder / "list").read_text().splitlines(keepends=True)[:few]))
    rates: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            times = []
            for listed in ("few", "list"):
                before = processor_seconds()
                elapsed = seconds(lambda run=run, listed=listed: run(folder / listed))
                times.append((elapsed, processor_seconds() - before))
                for each in folder.glob("out*"):
                    shutil.rmtree(each)
            further = np.subtract(times[1], times[0]) / (arguments.images - few)
            rates[name].append(1 / further[0])
            processor[name].append(further[1])
    print(
        f"convert-imageset, {arguments.images} JPEGs of 375×500 to {SIDE}×{SIDE}, {arguments.workers} workers, {load()}"
    )
    for name, found in rates.items():
        ratio = statistics.median(np.divide(found, rates["decoder and disk"]))
        work = statistics.median(np.divide(processor["decoder and disk"], processor[name]))
        print(
            f"  {name:18}{statistics.median(found):8.0f} images/s{ratio:8.2f} of decoder and disk;"
            f"{1000 * statistics.median(processor[name]):7.2f} ms of a core per image{work:8.2f}",
            flush=True,
        )


def bare(folder: Path, listed: Path, workers: int) -> None:
    """Read, decode and write all images of a list in processes."""
    (folder / "out").mkdir()
    names = [str(folder / "images" / line.split()[0]) for line in listed.read_text().splitlines()]
    shares = [(names[number::workers], str(folder / f"out/{number}")) for number in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.starmap(decode_and_write, shares)
        pool.close()
        pool.join()


def decode_and_write(paths: Sequence[str], out: str) -> None:
    """What no conversion can do without."""
    from cafx_lib_feed.images import planes, read_image

    with Path(out).open("wb") as file:
        for path in paths:
            file.write(planes(read_image(path, True, SIDE, SIDE)).tobytes())
        file.flush()
        os.fsync(file.fileno())


def squeezenet(folder: Path) -> tuple[str, Path, str]:
    """The layers, weights and output of SqueezeNet."""
    text = (SQUEEZENET / "SqueezeNet_deploy.prototxt").read_text()
    return text[text.index("layer {") :], SQUEEZENET / "decompressed_SqueezeNet.caffemodel", "pool_final"


def caffenet(folder: Path) -> tuple[str, Path, str]:
    """The layers, random weights and an inner layer's output of CaffeNet."""
    from cafx.kernel import TEST, Net, registry

    proto = registry().load("model", "caffenet")(batch=BATCH, train=False).to_proto()
    with Net(proto, TEST, seed=1) as net:
        net.save(folder / "caffenet.caffemodel")
    del proto.layer[[each.type for each in proto.layer].index("Input")]
    return str(proto), folder / "caffenet.caffemodel", "fc7"


def extract(label: str, layers: str, weights: Path, blob: str, folder: Path, arguments: argparse.Namespace) -> None:
    """Print a line of table (b)."""
    net, empty = folder / f"{label}.prototxt", folder / f"{label}_input.prototxt"
    shape = f"dim: {BATCH} dim: 3 dim: {CROP} dim: {CROP}"
    net.write_text(DATA.format(folder=folder, batch=BATCH, crop=CROP) + layers)
    empty.write_text(
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {shape} }} }} }}\n{layers}'
    )
    few, many = 4 * arguments.workers, 4 * arguments.workers + arguments.batches
    whole, bare_rates, timed = [], [], []
    for _ in range(arguments.rounds):
        timed.append(BATCH / pass_seconds(net, weights, arguments.workers))
        bare_rates.append(BATCH / pass_seconds(empty, weights, arguments.workers))
        times = []
        for batches in (few, many):
            times.append(
                seconds(
                    lambda batches=batches: cafx(
                        *("extract-features", weights, net, blob, folder / "features", batches),
                        *("--workers", arguments.workers),
                    )
                )
            )
            shutil.rmtree(folder / "features")
        whole.append(BATCH * (many - few) / (times[1] - times[0]))
    rate, ratio = statistics.median(whole), statistics.median(np.divide(whole, bare_rates))
    print(
        f"{label:12}{rate:8.1f} images/s from JPEG{statistics.median(np.divide(whole, timed)):8.2f} of cafx time"
        f"{ratio:8.2f} of {statistics.median(bare_rates):.1f} forward without data"
        f"{PER_SECOND / rate:8.1f} such machines for {PER_SECOND:.0f} images/s, {load()}",
        flush=True,
    )


def pass_seconds(net: Path, weights: Path, threads: int) -> float:
    """Seconds per forward pass in a process of its own, with the net's data or with random inputs."""
    code = (
        "import sys, time, numpy as np\n"
        "from cafx.kernel import Net, TEST\n"
        "net = Net(sys.argv[1], TEST, weights=sys.argv[2], threads=int(sys.argv[3]), keep='outputs')\n"
        "if net.inputs:\n"
        "    net.blobs['data'].set_data(np.random.default_rng(0).uniform(-100, 100, net.blobs['data'].shape))\n"
        "for count in (6, 20):  # the first ones use what was prefetched\n"
        "    start = time.perf_counter()\n"
        "    for _ in range(count): net.run_forward()\n"
        "print((time.perf_counter() - start) / count)\n"
    )
    command = [sys.executable, "-c", code, str(net), str(weights), str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
