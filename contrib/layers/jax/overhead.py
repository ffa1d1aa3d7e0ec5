"""What a layer costs when JAX makes it, compared with the same layer written by hand.

    python overhead.py [--values 1000 100000 10000000] [--rounds 7]

Swish is compared with the layer of the catalogue, a low-rank inner product with two InnerProducts, on the engines numpy
and onednn: medians of a forward and backward pass of the layer alone, in turns, and their ratio. The first pass, in
which JAX compiles, is told apart.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx.kernel import Net, Phase

SAMPLES = "cafx_layer_jax.samples"
VALUES = (1_000, 100_000, 10_000_000)
ROWS, RANK = 100, 16
SECONDS = 0.2
"""How long a measurement takes at least."""


def swish(by_hand: bool) -> Callable[[Any, int], Any]:
    """Swish, by hand or by JAX."""
    return lambda x, _: L.Swish(x) if by_hand else L.JAX(x, function=f"{SAMPLES}:swish")


def low_rank(by_hand: bool) -> Callable[[Any, int], Any]:
    """An inner product of low rank, by hand or by JAX."""

    def made(x: Any, columns: int) -> Any:
        if not by_hand:
            return L.JAX(x, function=f"{SAMPLES}:low_rank", rank=RANK, num_output=columns)
        inner = L.InnerProduct(x, num_output=RANK, bias_term=False, weight_filler="xavier")
        return L.InnerProduct(inner, num_output=columns, weight_filler="xavier")

    return made


def net_of(layer: Callable[[Any, int], Any], values: int, engine: str) -> Net:
    """A net of an input and the layer."""
    n = NetSpec("overhead")
    n.x = L.Input(shape=[ROWS, values // ROWS])
    n.y = layer(n.x, values // ROWS)
    proto = n.to_proto()
    proto.force_backward = True
    net = Net(proto, Phase.TRAIN, engine=engine, trust=True)
    net.blobs["x"].set_data(np.random.default_rng(1).standard_normal((ROWS, values // ROWS)))
    net.blobs["y"].mutable_diff[...] = 1
    return net


def passes(net: Net) -> None:
    """A forward and a backward pass."""
    net.run_forward()
    net.run_backward()


def seconds(net: Net) -> float:
    """Of one pair of passes, the mean of as many as fit."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        passes(net)
        count += 1
    return (time.perf_counter() - started) / count


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--values", type=int, nargs="+", default=VALUES, help="values of the bottom")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each, in turns (default: %(default)s)")
    given = parser.parse_args()
    print(f"{'layer':10}{'engine':8}{'values':>12}{'by hand':>12}{'JAX':>12}{'ratio':>8}{'first pass':>12}")
    for name, make in (("swish", swish), ("low rank", low_rank)):
        for engine in ("numpy", "onednn"):
            for values in given.values:
                row(name, make, engine, values, given.rounds)


def row(name: str, make: Callable[[bool], Any], engine: str, values: int, rounds: int) -> None:
    """Measure and print a line."""
    by_hand, traced = (net_of(make(each), values, engine) for each in (True, False))
    passes(by_hand)
    started = time.perf_counter()
    passes(traced)
    first = time.perf_counter() - started
    times = [(seconds(by_hand), seconds(traced)) for _ in range(rounds)]
    hand, jax = (statistics.median(each) for each in zip(*times, strict=True))
    ratio = statistics.median(two / one for one, two in times)
    shown = f"{hand * 1e6:9.0f} µs{jax * 1e6:9.0f} µs{ratio:8.2f}{first * 1e3:9.0f} ms"
    print(f"{name:10}{engine:8}{values:12,}{shown}", flush=True)


if __name__ == "__main__":
    main()
