"""Milliseconds per forward and backward pass of LeNet (batch 64) on each engine.

uv run python tests/benchmarks/lenet_step.py
"""

from __future__ import annotations

import argparse
import statistics
import time

from models import lenet

from cafx.kernel import TRAIN, Net, registry, schema

ROUNDS, WARM_UP = 40, 5


def main() -> None:
    """Print median and minimum for every available engine."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    proto = schema().parse_text(str(lenet(64)), "NetParameter")
    for plugin, engine in registry().usable("engine"):
        if engine.unavailable():
            print(f"{plugin.name}: {engine.unavailable()}")
            continue
        net = Net(proto, TRAIN, engine=plugin.name, seed=1)
        seconds = []
        for _ in range(ROUNDS + WARM_UP):
            start = time.perf_counter()
            net.clear_param_diffs()
            net.run_forward()
            net.run_backward()
            seconds.append(time.perf_counter() - start)
        timed = seconds[WARM_UP:]
        print(f"{plugin.name}: median {statistics.median(timed) * 1e3:.1f} ms, minimum {min(timed) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
