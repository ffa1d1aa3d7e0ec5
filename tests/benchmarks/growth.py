"""How cost grows: time, memory and share of peak as one size of a net grows, as tables and pictures.

    python tests/benchmarks/growth.py [--series batch image depth parameters iterations] [--threads 1 2]
        [--rounds 5] [--plot FOLDER] [--limit 1.3]

Each point trains in a process of its own. A point is a cliff if its cost per unit is more than ``--limit`` times what a
straight line between its neighbours gives, on logarithmic axes. The exit status is 1 if there is a cliff.

    batch        images per iteration, 1 to 128, of a net of three convolutions; cost per image
    image        height and width, 32 to 512, of the same net; cost per pixel
    depth        layers, 10 to 1,000, of 3×3 convolutions and ReLUs; cost per layer, and time to build
    parameters   10⁴ to 2·10⁸ in one InnerProduct; cost per parameter
    iterations   memory after 10 to 1,000 iterations of the first net; it must stay
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from measuring import peak_bytes
from models import Text

HERE = Path(__file__)
LIMIT, ROUNDS, ITERATIONS, WARM_UP = 1.3, 3, 5, 2
MEMORY_SLACK = 8 << 20
"""Bytes that memory may differ by from what the line gives: an allocator's granularity."""
DEPTH_CHANNELS, DEPTH_SIDE = 16, 16
SOLVER = 'type: "SGD" lr_policy: "fixed" base_lr: 1e-9 momentum: 0.9 max_iter: 1 random_seed: 1'
PEAK_SIDE = 1024


@attrs.frozen
class Series:
    """One size that grows.

    Attributes:
        sizes: its values.
        unit: what cost is divided by; a size of 2 units costs twice as much where cost is linear.
        power: cost grows with size to this power.
    """

    sizes: Sequence[int]
    unit: str
    power: int = 1


SERIES = {
    "batch": Series((1, 2, 4, 8, 16, 32, 64, 128), "image"),
    "image": Series((32, 48, 64, 96, 128, 192, 256, 384, 512), "pixel", 2),
    "depth": Series((10, 20, 50, 100, 200, 500, 1000), "layer"),
    "parameters": Series((10**4, 10**5, 10**6, 10**7, 10**8, 2 * 10**8), "parameter"),
    "iterations": Series((10, 30, 100, 300, 1000), "iteration", 0),
}


def main() -> int:
    """Measure, print tables, and plot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--series", nargs="+", default=list(SERIES), choices=SERIES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="processes per point; the least time counts")
    parser.add_argument("--most", type=int, metavar="N", help="leave out sizes above N")
    parser.add_argument("--limit", type=float, default=LIMIT, help="ratio to its neighbours' line that is a cliff")
    parser.add_argument("--engine", default="onednn")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="write a picture per series")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(work(**json.loads(given.worker))), flush=True)
        return 0
    cliffs = 0
    for name in given.series:
        sizes = [size for size in SERIES[name].sizes if given.most is None or size <= given.most]
        table = {threads: [point(name, size, threads, given) for size in sizes] for threads in given.threads}
        for threads, points in table.items():
            cliffs += report(name, threads, sizes, points, given.limit)
        if given.plot:
            plot(name, sizes, table, given.plot)
    return min(cliffs, 1)


def point(series: str, size: int, threads: int, given: Any) -> dict[str, float]:
    """The figures of one size: the least of several processes."""
    request = json.dumps({"series": series, "size": size, "engine": given.engine})
    command = [sys.executable, str(HERE), "--worker", request]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    found = []
    for _ in range(given.rounds):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        found.append(json.loads(done.stdout))
    best = {name: min(each[name] for each in found) for name in found[0]}
    return best | {"rate": max(each["rate"] for each in found)}


def report(name: str, threads: int, sizes: Sequence[int], points: list[dict[str, float]], limit: float) -> int:
    """Print a series, and return how many of its points are cliffs."""
    series = SERIES[name]
    print(f"\n{name}, {threads} thread{'s' if threads > 1 else ''}")
    print(
        f"{'size':>12} {'build s':>9} {'ms':>10} {'ns per ' + series.unit:>18} {'MiB':>8} {'of peak':>8}  to the line"
    )
    units = [float(size) ** series.power for size in sizes]
    ratios = {
        "time": to_line(units, [each["seconds"] for each in points]),
        "memory": to_line(units, [each["memory"] for each in points], MEMORY_SLACK),
        "build": to_line(units, [each["build"] for each in points]) if name == "depth" else [1.0] * len(sizes),
    }
    count = 0
    for index, (size, unit, each) in enumerate(zip(sizes, units, points, strict=True)):
        worst = {what: ratio[index] for what, ratio in ratios.items() if ratio[index] > limit}
        count += len(worst)
        line = ", ".join(f"{what} {ratio:.2f}" for what, ratio in worst.items())
        nanoseconds, share = each["seconds"] / unit * 1e9, each["rate"]
        print(
            f"{size:12} {each['build']:9.3f} {each['seconds'] * 1e3:10.3f} {nanoseconds:18.3f} "
            f"{each['memory'] / 2**20:8.0f} {share:8.0%}  {'CLIFF: ' + line if worst else 'on it'}"
        )
    return count


def to_line(sizes: Sequence[float], costs: Sequence[float], slack: float = 0.0) -> list[float]:
    """Each cost as a multiple of what a line between its neighbours gives, on logarithmic axes; 1 at the ends.

    Args:
        sizes: ascending.
        costs: of each size.
        slack: added to what the line gives.

    For sizes 1, 2, 4 and costs 10, 40, 40 the ratios are 1, 2, 1.
    """
    if len(set(sizes)) < len(sizes):
        return [cost / (costs[0] + slack) for cost in costs]
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(costs, float))
    ratios = [1.0]
    for index in range(1, len(costs) - 1):
        line = np.exp(np.interp(x[index], x[[index - 1, index + 1]], y[[index - 1, index + 1]]))
        ratios.append(float(costs[index] / (line + slack)))
    return [*ratios, 1.0][: len(costs)]


def work(series: str, size: int, engine: str) -> dict[str, float]:
    """Seconds to build and per iteration, bytes at the peak, and share of the rate of a large matrix product."""
    from cafx.kernel import Solver, schema

    text, flops = net_of(series, size)
    options = schema().parse_text(f"{SOLVER} net_param {{ {text} }}", "SolverParameter")
    start = time.perf_counter()
    with Solver(options, engine=engine, keep="outputs", allow_nan=True) as solver:
        build, rng = time.perf_counter() - start, np.random.default_rng(1)
        solver.net.blobs["data"].set_data(rng.standard_normal(solver.net.blobs["data"].shape, np.float32))
        seconds = []
        iterations = size if series == "iterations" else WARM_UP + ITERATIONS
        for _ in range(iterations):
            start = time.perf_counter()
            solver.iterate()
            seconds.append(time.perf_counter() - start)
    memory, least = peak_bytes(), min(seconds[WARM_UP:])
    typical = statistics.median(seconds[WARM_UP:]) if series == "iterations" else least
    return {"build": build, "seconds": typical, "memory": memory, "rate": flops / least / peak_rate()}


def net_of(series: str, size: int) -> tuple[str, float]:
    """The net of a series at a size, and its operations per iteration: those of the pass, three times."""
    if series == "depth":
        return deep(size)
    if series == "parameters":
        return wide(size)
    batch, side = (size, 64) if series == "batch" else (4, size) if series == "image" else (8, 32)
    return convolutions(batch, side)


def convolutions(batch: int, side: int) -> tuple[str, float]:
    """Three convolutions with pooling, global pooling and a classifier."""
    net = Text((batch, 3, side, side), 10)
    top = net.pool("pool1", net.conv("conv1", "data", 32, 5, pad=2), 2, 2)
    top = net.pool("pool2", net.conv("conv2", top, 64, 3, pad=1), 2, 2)
    top = net.pool("pool3", net.conv("conv3", top, 128, 3, pad=1), 0, 1, method="AVE")
    macs = batch * side**2 * (32 * 75 + 64 * 288 / 4 + 128 * 576 / 16)
    return finished(net, top, 10), 6 * macs


def deep(layers: int) -> tuple[str, float]:
    """So many layers, every other one a ReLU."""
    net = Text((4, DEPTH_CHANNELS, DEPTH_SIDE, DEPTH_SIDE), 10)
    top = "data"
    for number in range(layers // 2):
        top = net.conv(f"conv{number}", top, DEPTH_CHANNELS, 3, pad=1)
    macs = layers // 2 * 4 * DEPTH_SIDE**2 * DEPTH_CHANNELS**2 * 9
    return finished(net, net.pool("pool", top, 0, 1, method="AVE"), 10), 6 * macs


def wide(parameters: int) -> tuple[str, float]:
    """One fully connected layer with so many parameters."""
    inputs = round(parameters**0.5)
    net = Text((16, inputs), 10)
    rest = f"inner_product_param {{ num_output: {parameters // inputs} weight_filler {{ type: 'xavier' }} }}"
    net.add("ip", "InnerProduct", ["data"], "ip", rest)
    return finished(net, "ip", parameters // inputs), 6 * 16 * parameters


def finished(net: Text, top: str, classes: int) -> str:
    """The net with a classifier of its own and a loss."""
    if classes == 10:
        rest = "inner_product_param { num_output: 10 weight_filler { type: 'xavier' } }"
        top = net.add("score", "InnerProduct", [top], "score", rest)
    net.add("loss", "SoftmaxWithLoss", [top, "label"], "loss")
    return "\n".join(net.lines)


def peak_rate() -> float:
    """Operations per second of a large matrix product on the threads of this process."""
    one = np.ones((PEAK_SIDE, PEAK_SIDE), np.float32)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        one @ one
        times.append(time.perf_counter() - start)
    return 2 * PEAK_SIDE**3 / min(times)


def plot(name: str, sizes: Sequence[int], table: dict[int, list[dict[str, float]]], folder: Path) -> None:
    """Draw time and memory of a series."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for threads, points in table.items():
        label = f"{threads} thread{'s' if threads > 1 else ''}"
        left.loglog(sizes, [each["seconds"] * 1e3 for each in points], "o-", label=label)
        right.loglog(sizes, [each["memory"] / 2**20 for each in points], "o-", label=label)
    left.set(xlabel=name, ylabel="ms per iteration")
    right.set(xlabel=name, ylabel="MiB at the peak")
    left.legend()
    figure.savefig(folder / f"growth_{name}.png", dpi=100)


if __name__ == "__main__":
    sys.exit(main())
