"""Time per step of cafx's LSTM relative to PyTorch's nn.LSTM, on the CPU.

    uv run python tests/benchmarks/lstm.py [SHAPE...] [--torch-python PATH]

A shape is T,N,I,H: time steps, sequences, inputs and hidden units. Each side runs in a separate process, and rounds
of a few passes alternate between the two. A pass is forward and backward with the gradients of the input and of all
parameters; with --test, forward only. PyTorch's side is lstm_torch.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from measuring import serve
from versus_torch import Worker

HERE = Path(__file__).parent
SHAPES = (
    "9,60,32,96", "32,32,64,160", "100,32,128,256",
    "20,16,256,256", "20,100,256,256", "20,16,1000,1000", "20,100,1000,1000",
)  # fmt: skip
"""The captioner's and the character model's under contrib/applications; long sequences; LRCN's sizes."""
NET = """
layer {{ name: "x" type: "Input" top: "x" top: "cont"
  input_param {{ shape {{ dim: {steps} dim: {streams} dim: {inputs} }} shape {{ dim: {steps} dim: {streams} }} }} }}
layer {{ name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "y" loss_weight: 1
  recurrent_param {{ num_output: {hidden} weight_filler {{ type: "uniform" min: -0.08 max: 0.08 }} }} }}"""


def cafx_worker() -> None:
    """The side of cafx: run the layer that the first line of input describes."""
    setup = json.loads(sys.stdin.readline())
    import numpy as np

    from cafx.kernel import Net, Phase, schema

    proto = schema().parse_text(NET.format(**setup["shape"]), "NetParameter")
    proto.force_backward = not setup["test"]
    phase = Phase.TEST if setup["test"] else Phase.TRAIN
    net = Net(proto, phase, engine=setup["engine"], keep="outputs", seed=1)
    rng = np.random.default_rng(0)
    net.blobs["x"].set_data(rng.standard_normal(net.blobs["x"].shape, dtype=np.float32))
    net.blobs["cont"].set_data(np.arange(setup["shape"]["steps"])[:, None] > np.zeros(setup["shape"]["streams"]))

    def train() -> None:
        net.clear_param_diffs()
        net.run_forward()
        net.run_backward()

    serve(net.run_forward if setup["test"] else train)


def compare(text: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Alternate between the two sides for one shape."""
    shape = dict(zip(("steps", "streams", "inputs", "hidden"), map(int, text.split(",")), strict=True))
    setup = {"shape": shape, "test": arguments.test, "bf16": False, "threads": arguments.threads}
    commands = [sys.executable, __file__, "--worker"], [arguments.torch_python, str(HERE / "lstm_torch.py")]
    cafx, torch = (Worker(each, setup | {"engine": arguments.engine}, arguments.threads) for each in commands)
    for worker in (cafx, torch):
        worker.ready()
    for _ in range(arguments.rounds):
        for worker in (cafx, torch):
            worker.run(arguments.iterations)
    for worker in (cafx, torch):
        worker.end()
    per_step = 1e3 / shape["steps"]
    return {
        "shape": text,
        "cafx µs per step": cafx.median * per_step,
        "torch µs per step": torch.median * per_step,
        "ratio": cafx.median / torch.median,
        "minimum ratio": cafx.minimum / torch.minimum,
    }


def main() -> None:
    """Print one line per shape."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "shapes", nargs="*", default=list(SHAPES), metavar="T,N,I,H", help=f"default: {' '.join(SHAPES)}"
    )
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH", help="interpreter with PyTorch")
    parser.add_argument("--threads", type=int, default=2, help="number of threads (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per side (default: 5)")
    parser.add_argument("--iterations", type=int, default=5, help="passes per round (default: 5)")
    parser.add_argument("--engine", help="engine of cafx (default: the fastest installed)")
    parser.add_argument("--test", action="store_true", help="forward passes only, in TEST phase")
    parser.add_argument("--json", action="store_true", help="print machine-readable JSON")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        cafx_worker()
        return
    for shape in arguments.shapes:
        result = compare(shape, arguments)
        if arguments.json:
            print(json.dumps(result), flush=True)
            continue
        print(
            f"T,N,I,H = {shape}: cafx {result['cafx µs per step']:.0f} µs per step, "
            f"PyTorch {result['torch µs per step']:.0f} µs, "
            f"cafx takes {result['ratio']:.2f} times as long (by minimums {result['minimum ratio']:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
