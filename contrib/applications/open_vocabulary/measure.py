"""Measures an iteration of CaffeNet with 1,000 and with 10,000 classes, on random pictures and labels.

    python measure.py [--batch 16] [--iterations 3] [--classes 1000 10000] [--last-only]

Each runs in a process of its own: all layers learn, or only the last one.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

CLASSES = (1000, 10000)
BATCH, ITERATIONS = 16, 3
SIDE, LAST = 227, "fc8"
MEGABYTE = 1e6
FOREVER = 1800
STATUS = Path("/proc/self/status")


def measured(classes, batch=BATCH, iterations=ITERATIONS, side=SIDE, last_only=False):
    """Seconds per iteration, megabytes of the process and of the last layer, in a process of its own."""
    numbers = {"--one": classes, "--batch": batch, "--iterations": iterations, "--side": side}
    arguments = [str(word) for pair in numbers.items() for word in pair] + ["--last-only"] * last_only
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, timeout=FOREVER, check=True)
    return json.loads(done.stdout)


def trained(classes, batch, iterations, side, last_only):
    """Train for some iterations."""
    import numpy as np

    from cafx.dsl import NetSpec, SolverSpec
    from cafx.dsl import layers as L
    from cafx.kernel import Solver, registry

    net = NetSpec("CaffeNet")
    net.data, net.label = L.Input(shape=[[batch, 3, side, side], [batch]], ntop=2)
    proto = registry().load("model", "caffenet")(net, classes=classes, train=True).to_proto()
    for layer in proto.layer:
        if last_only and layer.name != LAST:
            for each in layer.param:
                each.lr_mult = 0
    solver = Solver(SolverSpec(net_param=proto, base_lr=1e-4, lr_policy="fixed", momentum=0.9, random_seed=1))
    rng, seconds = np.random.default_rng(1), []
    for _ in range(iterations + 1):
        solver.net.blobs["data"].set_data(rng.uniform(-120, 120, (batch, 3, side, side)))
        solver.net.blobs["label"].set_data(rng.integers(0, classes, batch))
        started = time.perf_counter()
        solver.step(1)
        seconds.append(time.perf_counter() - started)
    last = solver.net.params[LAST]
    return {
        "seconds": float(np.median(seconds[1:])),
        "peak MB": peak_bytes() / MEGABYTE,
        "last layer MB": sum(each.data.nbytes for each in last) / MEGABYTE,
        "gradients MB": sum(each.data.nbytes for many in solver.net.params.values() for each in many) / MEGABYTE,
    }


def peak_bytes():
    """The most memory that this process has had; 0 where the system does not tell."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), 0)


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch", type=int, default=BATCH, help="images per iteration (default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="default: %(default)s")
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES, help="default: 1000 10000")
    parser.add_argument("--side", type=int, default=SIDE, help="of a picture (default: %(default)s)")
    parser.add_argument("--last-only", action="store_true", help="only the last layer learns")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(trained(given.one, given.batch, given.iterations, given.side, given.last_only)))
        return
    for classes in given.classes:
        found = measured(classes, given.batch, given.iterations, given.side, given.last_only)
        print(f"{classes:6} classes: " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
