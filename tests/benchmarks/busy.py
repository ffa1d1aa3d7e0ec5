"""Inference alone and beside another busy process: milliseconds per pass, for several lengths of OpenMP's busy waiting.

    uv run python tests/benchmarks/busy.py [--net lenet] [--passes 200] [--spins 0 20000 300000]

Each length runs in a process of its own. "default" is what cafx sets when the user has set nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import numpy as np
from models import MODELS

from cafx.kernel import Net, Phase, schema

SETTLE = 0.3
"""Seconds after which the busy process is sure to run."""


def main() -> None:
    """Parse the command line and print one row per length of busy waiting."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--net", default="lenet", choices=sorted(MODELS), help="the net")
    parser.add_argument("--passes", type=int, default=200, help="passes to time")
    parser.add_argument("--threads", type=int, default=2, help="threads of the engine")
    parser.add_argument(
        "--spins", nargs="*", default=["default", "0", "20000", "300000"], help="values of GOMP_SPINCOUNT"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        measure(arguments)
        return
    print(f"{'GOMP_SPINCOUNT':16}{'alone, mean ms':>16}{'beside, mean ms':>16}{'beside, worst':>16}")
    for spins in arguments.spins:
        setting = {} if spins == "default" else {"GOMP_SPINCOUNT": spins}
        command = [sys.executable, __file__, "--worker", "--net", arguments.net]
        command += ["--passes", str(arguments.passes), "--threads", str(arguments.threads)]
        done = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, text=True, check=True)
        print(f"{spins:16}{done.stdout.strip()}", flush=True)


def measure(arguments: argparse.Namespace) -> None:
    """Time the net alone, then beside a process that uses one core."""
    proto = schema().parse_text(str(MODELS[arguments.net]()), "NetParameter")
    net = Net(proto, Phase.TEST, engine="onednn", keep="outputs", threads=arguments.threads)
    for name in net.inputs:
        net.blobs[name].set_data(np.zeros(net.blobs[name].shape))
    for _ in range(5):
        net.run_forward()
    alone = timed(net, arguments.passes)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(SETTLE)
        beside = timed(net, arguments.passes)
    finally:
        busy.kill()
        busy.wait()
    print(f"{statistics.mean(alone):16.2f}{statistics.mean(beside):16.2f}{max(beside):16.2f}")


def timed(net: Net, passes: int) -> list[float]:
    """Milliseconds of each pass."""
    milliseconds = []
    for _ in range(passes):
        start = time.perf_counter()
        net.run_forward()
        milliseconds.append(1e3 * (time.perf_counter() - start))
    return milliseconds


if __name__ == "__main__":
    main()
