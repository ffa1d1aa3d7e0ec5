"""How training scales over processes: measured here with one and two, and predicted for more.

    python tests/benchmarks/scale.py [--models caffenet resnet50] [--batch 32] [--iterations 10] [--plot scale.svg]

Two processes with one thread each are compared with one process with two threads, on the same images per iteration,
and with one process with one thread (weak scaling), with gradients summed during the backward pass and after it. The
time of a sum of n bytes over two processes is fitted by α + β n. From that, and from the measured times of a pass, a
model predicts the efficiency of 4 to 256 machines on networks of 10, 100 and 400 Gb/s. That part is on paper: it takes
a ring's 2 (R − 1)/R of the bytes at the network's rate, an assumed latency, and hides a sum behind the backward pass as
far as it fits.
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

import numpy as np
from models import MODELS

HERE = Path(__file__)
ROUNDS, WARM_UP = 3, 2
SIZES = [1 << power for power in range(10, 27, 2)]
RANKS = (4, 8, 16, 64, 256)
NETWORKS = (10, 100, 400)
LATENCY = 20e-6
"""Seconds from machine to machine, assumed."""
BUCKET = 4 << 20
"""Bytes that are summed at a time."""
BACKWARD = 2 / 3
"""Share of a pass that is backward, while which gradients are summed."""


def main() -> None:
    """Measure, print tables, and plot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=["caffenet", "resnet50"], choices=sorted(MODELS))
    parser.add_argument("--batch", type=int, default=32, help="images per iteration of the single process")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--plot", metavar="FILE", help="write the predicted efficiencies as a picture")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(json.loads(given.worker))
        return
    alpha, beta = fitted(run(2, {"sums": SIZES}))
    print(f"a sum over two processes takes {alpha * 1e6:.0f} µs + {beta * 1e9:.3f} ns per byte")
    predictions = {}
    for model in given.models:
        times = measure(model, given.batch, given.iterations)
        report(model, times)
        predictions[model] = predicted(times["1 process, 1 thread, half"], times["bytes"])
    print("\npredicted efficiency, on paper:")
    for model, table in predictions.items():
        for network in NETWORKS:
            row = "  ".join(f"{ranks}: {table[network][ranks]:.2f}" for ranks in RANKS)
            print(f"{model:10} {network:4} Gb/s  {row}")
    if given.plot:
        plot(predictions, given.plot)


def measure(model: str, batch: int, iterations: int) -> dict[str, float]:
    """Median seconds per iteration of each arrangement, in turns; and the bytes of the gradients."""
    half, common = batch // 2, {"model": model, "iterations": iterations}
    arrangements = {
        "1 process, 2 threads": (1, 2, {"batch": batch, "reduce": True}),
        "2 processes, 1 thread": (2, 1, {"batch": half, "reduce": True}),
        "2 processes, 1 thread, summed after backward": (2, 1, {"batch": half, "reduce": False}),
        "1 process, 1 thread, half": (1, 1, {"batch": half, "reduce": True}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arrangements}
    nbytes = 0.0
    for _ in range(ROUNDS):
        for name, (ranks, threads, settings) in arrangements.items():
            answer = run(ranks, {**common, **settings}, threads)
            seconds[name].append(answer["seconds"])
            nbytes = answer["bytes"]
    return {name: statistics.median(each) for name, each in seconds.items()} | {"bytes": nbytes}


def report(model: str, times: dict[str, float]) -> None:
    """Print the measured times and efficiencies."""
    whole, half = times["1 process, 2 threads"], times["1 process, 1 thread, half"]
    print(f"\n{model}: {times['bytes'] / 2**20:.0f} MiB of gradients")
    for name, seconds in times.items():
        if name == "bytes":
            continue
        strong = f"  efficiency {whole / seconds:.2f}" if name.startswith("2") else ""
        weak = f"  weak scaling {half / seconds:.2f}" if name.startswith("2") else ""
        print(f"  {name:46} {seconds * 1e3:8.1f} ms{strong}{weak}")


def predicted(compute: float, nbytes: float) -> dict[int, dict[int, float]]:
    """Efficiency by network (Gb/s) and number of machines.

    Args:
        compute: seconds of an iteration of one machine.
        nbytes: bytes of the gradients.
    """
    table: dict[int, dict[int, float]] = {}
    for network in NETWORKS:
        rate = network * 1e9 / 8
        for ranks in RANKS:
            summing = 2 * (ranks - 1) * (LATENCY + nbytes / ranks / rate)
            last = 2 * min(nbytes, BUCKET) / rate  # of the first layer, when there is nothing left to hide behind
            waited = max(last, summing - BACKWARD * compute)
            table.setdefault(network, {})[ranks] = compute / (compute + waited)
    return table


def fitted(answer: dict[str, Any]) -> tuple[float, float]:
    """α and β of the time of a sum, α + β n, by least squares of relative errors."""
    sizes, seconds = np.array(SIZES, float), np.array(answer["seconds"])
    terms = np.stack([np.ones_like(sizes), sizes], 1) / seconds[:, None]
    (alpha, beta), *_ = np.linalg.lstsq(terms, np.ones_like(seconds), rcond=None)
    return max(0.0, float(alpha)), float(beta)


def plot(predictions: dict[str, dict[int, dict[int, float]]], path: str) -> None:
    """Draw the predicted efficiencies."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(predictions), 4), layout="constrained")
    for axes, (model, table) in zip(
        figure.subplots(1, len(predictions), squeeze=False)[0], predictions.items(), strict=True
    ):
        for network, row in table.items():
            axes.semilogx(list(row), list(row.values()), "o-", base=2, label=f"{network} Gb/s")
        axes.set(title=f"{model} (predicted)", xlabel="machines", ylabel="efficiency", ylim=(0, 1.05))
        axes.legend()
    figure.savefig(path)


def run(ranks: int, request: dict[str, Any], threads: int = 1) -> dict[str, Any]:
    """Answer of rank 0 of some workers."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    launcher = [str(mpiexec if mpiexec.exists() else "mpiexec"), "-n", str(ranks)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [*launcher, sys.executable, str(HERE), "--worker", json.dumps(request)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def work(request: dict[str, Any]) -> None:
    """What one of the processes does."""
    from cafx.kernel.training import make_communicator

    communicator = make_communicator("mpi")
    answer = sums(communicator, request["sums"]) if "sums" in request else training(communicator, request)
    if communicator.is_root:
        print(json.dumps(answer), flush=True)


def sums(communicator: Any, sizes: Sequence[int]) -> dict[str, Any]:
    """Seconds of a sum of each number of bytes."""
    seconds = []
    for size in sizes:
        values = np.ones(size // 4, np.float32)
        times = []
        for _ in range(10):
            communicator.barrier()
            start = time.perf_counter()
            communicator.allreduce(values)
            times.append(time.perf_counter() - start)
            values[...] = 1
        seconds.append(statistics.median(times))
    return {"seconds": seconds}


def training(communicator: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Seconds of an iteration, and bytes of the gradients."""
    from cafx.kernel import Solver, schema

    text = MODELS[request["model"]](request["batch"])
    # A tiny rate keeps the parameters as they are: where units die, subnormal gradients slow a pass down.
    options = schema().parse_text(
        f'type: "SGD" lr_policy: "fixed" base_lr: 1e-9 momentum: 0.9 max_iter: 1 random_seed: 1 '
        f"layer_wise_reduce: {str(request['reduce']).lower()} net_param {{ {text} }}",
        "SolverParameter",
    )
    with Solver(options, keep="outputs", communicator=communicator, allow_nan=True) as solver:
        rng = np.random.default_rng(1)
        solver.net.blobs["data"].set_data(rng.normal(size=solver.net.blobs["data"].shape))
        times = []
        for index in range(WARM_UP + request["iterations"]):
            communicator.barrier()
            start = time.perf_counter()
            solver.iterate()
            communicator.barrier()
            times += [time.perf_counter() - start] if index >= WARM_UP else []
        return {"seconds": statistics.median(times), "bytes": solver.net.arena.diff.nbytes}


if __name__ == "__main__":
    main()
