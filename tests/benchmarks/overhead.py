"""Overhead of running a net: microseconds per layer and pass on a net of trivial layers.

uv run python tests/benchmarks/overhead.py
"""

from __future__ import annotations

import argparse
import statistics
import time

from cafx.kernel import Blob, Layer, Net, Registry, schema

LAYERS, ROUNDS = 200, 200


class Trivial(Layer):
    """Does nothing. Bottom: any shape. Top: the same shape."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the shape of the bottom."""
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Do nothing."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Do nothing."""


def main() -> None:
    """Print medians over all rounds."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    plugins = Registry()
    plugins.add("layer", "Trivial", Trivial)
    text = 'force_backward: true layer { name: "x" type: "Input" top: "b0" input_param { shape { dim: 1 } } }'
    text += "".join(f'layer {{ name: "l{i}" type: "Trivial" bottom: "b{i}" top: "b{i + 1}" }}' for i in range(LAYERS))
    start = time.perf_counter()
    net = Net(schema(plugins).parse_text(text, "NetParameter"), engine="numpy", plugins=plugins)
    print(f"building {LAYERS} layers: {time.perf_counter() - start:.3f} s")
    for name, run in (("forward", net.run_forward), ("backward", net.run_backward)):
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        print(f"{name}: {statistics.median(seconds) / LAYERS * 1e6:.2f} µs per layer")


if __name__ == "__main__":
    main()
