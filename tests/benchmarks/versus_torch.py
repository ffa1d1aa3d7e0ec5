"""Training speed of cafx relative to PyTorch on the CPU.

    uv run python tests/benchmarks/versus_torch.py [NET...] [--torch-python PATH]

Each side runs in a separate process. Rounds of a few iterations alternate between the two, so that
other load on the machine affects both. PyTorch runs in the fastest of its modes: eager or
torch.compile, channels last or not. PyTorch need not be installed along with cafx: --torch-python
names an interpreter that has it. Data are synthetic; an iteration is a forward pass, a backward pass
and an SGD update (with --test: a forward pass). With --test, "--modes onnxruntime" runs ONNX Runtime
on PyTorch's export of the net instead.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measuring import serve
from models import MODELS, Text

HERE = Path(__file__).parent
AVERAGE = 1  # PoolMethod.AVE
SLOWEST = 25
MODES = ("eager", "channels_last", "compile", "compile channels_last")
SOLVER = "base_lr: 0.0001 momentum: 0.9 weight_decay: 0.0005 lr_policy: 'fixed' type: 'SGD' max_iter: 1000000"


class Worker:
    """A process that runs iterations on request.

    Args:
        command: the command line.
        setup: the first line of its input.
        threads: number of threads, passed in the environment.
    """

    def __init__(self, command: list[str], setup: dict[str, Any], threads: int) -> None:
        precision = "bf16" if setup["bf16"] else "float32"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CAFX_PRECISION": precision}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.seconds: list[float] = []
        self.peak = 0
        self._send(json.dumps(setup))

    def _send(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.process.args[:3])}: ended without answering")  # type: ignore[index]
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ready(self) -> None:
        """Wait until the process has warmed up."""
        self._receive()

    def run(self, iterations: int) -> None:
        """Run iterations and record their times."""
        self._send(str(iterations))
        answer = self._receive()
        self.seconds += answer["seconds"]
        self.peak = answer["peak"]

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    @property
    def median(self) -> float:
        """Median milliseconds per iteration."""
        return statistics.median(self.seconds) * 1e3

    @property
    def minimum(self) -> float:
        """Fewest milliseconds per iteration."""
        return min(self.seconds) * 1e3


def cafx_worker() -> None:
    """The side of cafx: run the net in the first line of input."""
    setup = json.loads(sys.stdin.readline())
    import numpy as np

    from cafx.kernel import Net, Phase, Solver, schema

    proto = schema().parse_text(setup["text"], "NetParameter")
    rng = np.random.default_rng(0)

    def feed(net: Net) -> None:
        net.blobs["data"].set_data(rng.standard_normal(net.blobs["data"].shape, dtype=np.float32))
        net.blobs["label"].set_data(rng.integers(0, setup["classes"], net.blobs["label"].shape))

    if setup["test"]:
        net = Net(proto, Phase.TEST, engine=setup["engine"], keep="outputs")
        normalise_by_one(net)
        step: Any = net.run_forward
    else:
        options = schema().parse_text(SOLVER, "SolverParameter")
        options.net_param.CopyFrom(proto)
        solver = Solver(options, engine=setup["engine"], keep="outputs", seed=1)
        net = solver.net
        step = solver.step
    feed(net)
    serve(step)
    if setup["layers"]:
        print_slowest_steps(net, not setup["test"])


def normalise_by_one(net: Any) -> None:
    """Set running statistics to mean 0 and variance 1, as PyTorch starts; Caffe starts with none, which overflows."""
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for blob, value in zip(layer.blobs, (0, 1, 1), strict=True):
                blob.mutable_data[...] = value


def print_slowest_steps(net: Any, train: bool) -> None:
    """Print the milliseconds of the slowest steps to standard error."""
    times: dict[str, list[float]] = {}
    for _ in range(5):
        net.clear_param_diffs()
        passes = [
            ("forward", net.program.steps),
            ("backward", [s for s in reversed(net.program.steps) if s.needs_backward]),
        ]
        for direction, steps in passes[: 2 if train else 1]:
            for step in steps:
                name = f"{direction:9}{step.layers[0].layer.type:16}{step.name[:40]:41}{step.run_by}"
                start = time.perf_counter()
                getattr(step, direction)()
                times.setdefault(name, []).append(time.perf_counter() - start)
    table = sorted(((statistics.median(each) * 1e3, name) for name, each in times.items()), reverse=True)
    total = sum(milliseconds for milliseconds, _ in table)
    for milliseconds, name in table[:SLOWEST]:
        print(f"    {milliseconds:9.3f} ms {milliseconds / total:6.1%}  {name}", file=sys.stderr)


def layers_of(text: str) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """A net's layers as plain data for PyTorch's side, and the shapes of its blobs."""
    from cafx.kernel import Net, Phase, schema

    proto = schema().parse_text(text, "NetParameter")
    small = schema().parse_text(text.replace('type: "msra"', 'type: "constant"'), "NetParameter")
    net = Net(small, Phase.TEST, engine="numpy")
    layers = [
        {
            "name": layer.name,
            "type": layer.type,
            "bottom": list(layer.bottom),
            "top": layer.top[0],
            "options": options_of(layer),
            "weight": layer.loss_weight[0] if layer.loss_weight else 1.0,
        }
        for layer in proto.layer
    ]
    return layers, {name: list(blob.shape) for name, blob in net.blobs.items()}


def options_of(layer: Any) -> dict[str, Any]:
    """The options of a layer that PyTorch's side reads."""
    convolution, pooling = layer.convolution_param, layer.pooling_param
    match layer.type:
        case "Convolution":
            window = (convolution.kernel_size[0], convolution.stride[0], convolution.pad[0])
            sizes = {"group": convolution.group, "outputs": convolution.num_output, "bias": convolution.bias_term}
            return dict(zip(("kernel", "stride", "pad"), window, strict=True)) | sizes
        case "Pooling":
            window = (pooling.kernel_size, pooling.stride, pooling.pad)
            kind = {"mean": pooling.pool == AVERAGE, "global": pooling.global_pooling}
            return dict(zip(("kernel", "stride", "pad"), window, strict=True)) | kind
        case "ShuffleChannel":
            return {"group": layer.shuffle_channel_param.group}
        case "InnerProduct":
            return {"outputs": layer.inner_product_param.num_output}
        case "Dropout":
            return {"ratio": layer.dropout_param.dropout_ratio}
        case _:
            return {}


def compare(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Find PyTorch's fastest mode for one net, then alternate between it and cafx."""
    net: Text = MODELS[name](**({"batch": arguments.batch} if arguments.batch else {}))
    text, threads = str(net), arguments.threads
    common = {"classes": net.classes, "bf16": arguments.bf16, "test": arguments.test}
    setup = common | {"text": text, "engine": arguments.engine, "layers": arguments.layers}
    cafx = Worker([sys.executable, __file__, "--worker"], setup, threads)
    cafx.ready()
    layers, shapes = layers_of(text)
    best: Worker | None = None
    best_mode = ""
    for mode in arguments.modes:
        setup = common | {"mode": mode, "layers": layers, "shapes": shapes, "threads": threads}
        worker = Worker([arguments.torch_python, str(HERE / "torch_side.py")], setup, threads)
        worker.ready()
        worker.run(arguments.iterations)
        if best is None or worker.minimum < best.minimum:
            if best:
                best.end()
            best, best_mode = worker, mode
        else:
            worker.end()
    assert best
    best.seconds = []
    for _ in range(arguments.rounds):
        cafx.run(arguments.iterations)
        best.run(arguments.iterations)
    best.end()
    cafx.end()
    return {
        "net": name,
        "batch": shapes["data"][0],
        "cafx ms": cafx.median,
        "cafx minimum ms": cafx.minimum,
        "torch ms": best.median,
        "torch minimum ms": best.minimum,
        "mode": best_mode,
        "ratio": best.median / cafx.median,
        "minimum ratio": best.minimum / cafx.minimum,
        "cafx MB": cafx.peak / 1e6,
        "torch MB": best.peak / 1e6,
    }


def main() -> None:
    """Print one line per net."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("nets", nargs="*", default=list(MODELS), metavar="NET", help=f"default: {', '.join(MODELS)}")
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH", help="interpreter with PyTorch")
    parser.add_argument("--threads", type=int, default=2, help="number of threads (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per side (default: 5)")
    parser.add_argument("--iterations", type=int, default=3, help="iterations per round (default: 3)")
    parser.add_argument("--batch", type=int, help="batch size (default: the net's own)")
    parser.add_argument("--engine", help="engine of cafx (default: the fastest installed)")
    parser.add_argument("--modes", nargs="+", default=list(MODES), help="modes of PyTorch to try")
    parser.add_argument("--test", action="store_true", help="forward passes only, in TEST phase")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 on both sides")
    parser.add_argument("--layers", action="store_true", help="print the slowest steps of cafx to standard error")
    parser.add_argument("--json", action="store_true", help="print machine-readable JSON")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        cafx_worker()
        return
    for name in arguments.nets or list(MODELS):
        result = compare(name, arguments)
        if arguments.json:
            print(json.dumps(result), flush=True)
            continue
        print(
            f"{name} (batch {result['batch']}): "
            f"cafx {result['cafx ms']:.1f} ms (minimum {result['cafx minimum ms']:.1f}), "
            f"PyTorch {result['mode']} {result['torch ms']:.1f} ms (minimum {result['torch minimum ms']:.1f}), "
            f"speed-up {result['ratio']:.2f} (of minimums {result['minimum ratio']:.2f}), "
            f"peak memory {result['cafx MB']:.0f} and {result['torch MB']:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
