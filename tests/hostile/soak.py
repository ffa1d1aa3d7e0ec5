"""Train with changing shapes for many iterations: the memory stays flat.

    python tests/hostile/soak.py --iterations 20000

The first quarter of the iterations is for buffers and caches to fill. Exit status 1: the memory has grown since.
"""

from __future__ import annotations

import argparse
import gc
import sys

import numpy as np

from cafx.kernel import Net, Phase, schema

BATCHES, SIZES = (1, 9), (12, 60)
GROWTH = 24 << 20
"""Bytes that allocators may hold on to; one shape kept for each iteration would be more."""
NET = """
layer { name: "i" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 32 dim: 32 } shape { dim: 2 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" }
layer { name: "all" type: "Pooling" bottom: "norm" top: "all" pooling_param { pool: AVE global_pooling: true } }
layer { name: "drop" type: "Dropout" bottom: "all" top: "all" }
layer { name: "ip" type: "InnerProduct" bottom: "all" top: "ip"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def resident() -> int:
    """The memory of this process that is in use, in bytes."""
    gc.collect()
    with open("/proc/self/statm") as file:  # noqa: PTH123 - it is no path of ours
        return int(file.read().split()[1]) * 4096


def soak(engine: str, iterations: int) -> int:
    """The bytes by which the memory has grown after the first quarter of the iterations."""
    rng, filled = np.random.default_rng(1), 0
    with Net(schema().parse_text(NET, "NetParameter"), Phase.TRAIN, engine=engine, seed=1) as net:
        largest = (BATCHES[1] - 1, 3, SIZES[1] - 1, SIZES[1] - 1)
        for at in range(iterations):
            drawn = (int(rng.integers(*BATCHES)), 3, *(int(size) for size in rng.integers(*SIZES, 2)))
            shape = largest if at == 0 else drawn
            data = rng.standard_normal(shape, np.float32)
            net.clear_param_diffs()
            net.forward(data=data, label=np.zeros(shape[0], np.float32))
            net.backward()
            if at + 1 == max(1, iterations // 4):
                filled = resident()
    return resident() - filled


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=20_000, help="with each engine")
    parser.add_argument("--engine", action="append", help="use these engines alone")
    arguments = parser.parse_args()
    wrong = 0
    for engine in arguments.engine or ("numpy", "onednn"):
        grown = soak(engine, arguments.iterations)
        print(f"{engine}: {grown / 2**20:.1f} MB more after {arguments.iterations} iterations", flush=True)
        wrong += grown > GROWTH
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
