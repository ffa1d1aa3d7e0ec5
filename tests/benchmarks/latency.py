"""Latency of single images: median and 99th percentile over many calls, compared with its steps one by one.

    uv run python tests/benchmarks/latency.py [NET...] [--calls N] [--threads N]

A NET is a name of models.py, or the path of a prototxt; parameters are as the fillers make them. The image is in the
input blob already. Steps are timed in the same rounds as whole passes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

CALLS, ROUND = 10_000, 100
NETS = ("squeezenet", "mobilenet_v1", "resnet50")


def timed(run: Callable[[], None], times: list[float]) -> None:
    """Append the microseconds of a round of calls."""
    for _ in range(ROUND):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1e6)


def measure(name: str, calls: int) -> str:
    """A line about a net."""
    import numpy as np
    from models import MODELS
    from versus_torch import normalise_by_one

    from cafx.kernel import Net, Phase, schema

    source = schema().parse_text(str(MODELS[name](batch=1)), "NetParameter") if name in MODELS else name
    net = Net(source, Phase.TEST, keep="outputs", seed=1)
    normalise_by_one(net)
    for blob in net.inputs:
        net.blobs[blob].set_data(np.random.default_rng(0).random(net.blobs[blob].shape, np.float32))

    def run_steps() -> None:
        for step in net.program.steps:
            step.forward()

    passes: list[float] = []
    steps: list[float] = []
    timed(net.run_forward, [])  # the first compile kernels
    while len(passes) < calls:
        timed(net.run_forward, passes)
        timed(run_steps, steps)
    median, late = np.percentile(passes, [50, 99])
    least = np.percentile(passes, 5) - np.percentile(steps, 5)
    title = Path(name).name
    times = f"median {median / 1e3:8.3f} ms  p99 {late / median:5.2f} × median"
    return f"{title:24} {times}  {least:+8.1f} µs compared with its steps"


def main() -> None:
    """Print a line per net."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("nets", nargs="*", default=NETS, metavar="NET", help=f"default: {', '.join(NETS)}")
    parser.add_argument("--calls", type=int, default=CALLS, help="calls per net (default: 10000)")
    parser.add_argument("--threads", type=int, default=2, help="number of threads (default: 2)")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    for name in arguments.nets:
        print(measure(name, arguments.calls), flush=True)


if __name__ == "__main__":
    main()
