"""cafx beside PyTorch on the CPU: training, side by side and in turns, as ratios.

    uv run python tests/benchmarks/versus_torch.py [NET...] [--torch-python PATH]

Each side runs in a process of its own and is asked for a few iterations at a time, in turns, so that
whatever else the machine does falls on both. PyTorch is taken in its best mode of eager, channels last
and torch.compile. PyTorch need not be installed beside cafx: --torch-python names an interpreter that
has it. Synthetic data; one iteration is forward, backward and SGD's update (with --test: forward).
With --test, "--modes onnxruntime" takes ONNX Runtime on PyTorch's export of the same net instead.
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

from models import MODELS, Text

HERE = Path(__file__).parent
MODES = ("eager", "channels_last", "compile", "compile channels_last")
SOLVER = "base_lr: 0.0001 momentum: 0.9 weight_decay: 0.0005 lr_policy: 'fixed' type: 'SGD' max_iter: 1000000"


class Worker:
    """A process that runs iterations when asked.

    Args:
        command: what to start.
        setup: its first line of input.
        threads: for libraries that read it from the environment.
    """

    def __init__(self, command: list[str], setup: dict[str, Any], threads: int) -> None:
        precision = "bf16" if setup["bf16"] else "float32"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "CAFX_PRECISION": precision}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.seconds: list[float] = []
        self.peak = 0
        self._say(json.dumps(setup))

    def _say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.process.args[:3])}: ended without an answer")  # type: ignore[index]
        heard: dict[str, Any] = json.loads(line)
        return heard

    def ready(self) -> None:
        """Wait until it is warm."""
        self._hear()

    def run(self, iterations: int) -> None:
        """Let it work and take its times."""
        self._say(str(iterations))
        heard = self._hear()
        self.seconds += heard["seconds"]
        self.peak = heard["peak"]

    def end(self) -> None:
        """Let it go."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.seconds) * 1e3

    @property
    def least(self) -> float:
        """Milliseconds."""
        return min(self.seconds) * 1e3


def cafx_worker() -> None:
    """Our side: train the net that the first line of input holds."""
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
        step: Any = net.run_forward
    else:
        options = schema().parse_text(SOLVER, "SolverParameter")
        options.net_param.CopyFrom(proto)
        solver = Solver(options, engine=setup["engine"], keep="outputs", seed=1)
        net = solver.net
        step = solver.step
    feed(net)
    for _ in range(3):
        step()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        peak = peak_bytes()
        print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)
    if setup["layers"]:
        layer_table(net, not setup["test"])


def peak_bytes() -> int:
    """The most memory this process has held; getrusage would tell that of whoever started it, if larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def layer_table(net: Any, train: bool) -> None:
    """Milliseconds of each step, the slowest first."""
    times: dict[str, list[float]] = {}
    for _ in range(5):
        net.clear_param_diffs()
        passes = [
            ("forward", net.program.steps),
            ("backward", [s for s in reversed(net.program.steps) if s.needs_backward]),
        ]
        for way, steps in passes[: 2 if train else 1]:
            for step in steps:
                start = time.perf_counter()
                getattr(step, way)()
                took = time.perf_counter() - start
                times.setdefault(f"{way:9}{step.layers[0].layer.type:16}{step.name[:40]:41}{step.run_by}", []).append(
                    took
                )
    table = sorted(((statistics.median(each) * 1e3, name) for name, each in times.items()), reverse=True)
    total = sum(took for took, _ in table)
    for took, name in table[:25]:
        print(f"    {took:9.3f} ms {took / total:6.1%}  {name}", file=sys.stderr)


def layers_of(text: str) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """A net as the plain data the other side understands, with the shapes of its blobs."""
    from cafx.kernel import Net, Phase, schema

    proto = schema().parse_text(text, "NetParameter")
    small = schema().parse_text(text.replace('type: "msra"', 'type: "constant"'), "NetParameter")
    net = Net(small, Phase.TEST, engine="numpy")
    layers = []
    for layer in proto.layer:
        window: dict[str, Any] = {}
        if layer.type == "Convolution":
            p = layer.convolution_param
            window = {"kernel": p.kernel_size[0], "stride": p.stride[0], "pad": p.pad[0], "group": p.group,
                      "outputs": p.num_output, "bias": p.bias_term}  # fmt: skip
        elif layer.type == "Pooling":
            q = layer.pooling_param
            window = {"kernel": q.kernel_size, "stride": q.stride, "pad": q.pad, "mean": q.pool == 1,
                      "global": q.global_pooling}  # fmt: skip
        elif layer.type == "InnerProduct":
            window = {"outputs": layer.inner_product_param.num_output}
        elif layer.type == "Dropout":
            window = {"ratio": layer.dropout_param.dropout_ratio}
        weight = layer.loss_weight[0] if layer.loss_weight else 1.0
        layers.append({"name": layer.name, "type": layer.type, "bottom": list(layer.bottom),
                       "top": layer.top[0], "options": window, "weight": weight})  # fmt: skip
    return layers, {name: list(blob.shape) for name, blob in net.blobs.items()}


def duel(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Both sides of one net: PyTorch's modes tried first, then its best against cafx, in turns."""
    made: Text = MODELS[name](**({"batch": arguments.batch} if arguments.batch else {}))
    text = str(made)
    threads = arguments.threads
    ours = {"text": text, "classes": made.classes, "engine": arguments.engine, "test": arguments.test,
            "layers": arguments.layers, "bf16": arguments.bf16}  # fmt: skip
    mine = Worker([sys.executable, __file__, "--worker"], ours, threads)
    mine.ready()
    layers, shapes = layers_of(text)
    best: Worker | None = None
    mode = ""
    for each in arguments.modes:
        setup = {"mode": each, "layers": layers, "shapes": shapes, "classes": made.classes,
                 "threads": threads, "bf16": arguments.bf16, "test": arguments.test}  # fmt: skip
        other = Worker([arguments.torch_python, str(HERE / "torch_side.py")], setup, threads)
        other.ready()
        other.run(arguments.turns)
        if best is None or other.least < best.least:
            if best:
                best.end()
            best, mode = other, each
        else:
            other.end()
    assert best
    best.seconds = []
    for _ in range(arguments.rounds):
        mine.run(arguments.turns)
        best.run(arguments.turns)
    best.end()
    mine.end()
    return {
        "net": name, "batch": shapes["data"][0], "cafx ms": mine.median, "cafx least": mine.least,
        "torch ms": best.median, "torch least": best.least, "mode": mode,
        "ratio": best.median / mine.median, "ratio least": best.least / mine.least,
        "cafx MB": mine.peak / 1e6, "torch MB": best.peak / 1e6,
    }  # fmt: skip


def main() -> None:
    """Print a line a net."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("nets", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter that has torch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="turns each side gets")
    parser.add_argument("--turns", type=int, default=3, help="iterations a turn")
    parser.add_argument("--batch", type=int, help="instead of each net's own")
    parser.add_argument("--engine", default=None, help="cafx's engine")
    parser.add_argument("--modes", nargs="+", default=list(MODES), help="PyTorch's modes to try")
    parser.add_argument("--test", action="store_true", help="forward only, in TEST phase")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 on both sides")
    parser.add_argument("--layers", action="store_true", help="our slowest steps on standard error")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        cafx_worker()
        return
    for name in arguments.nets or list(MODELS):
        found = duel(name, arguments)
        if arguments.json:
            print(json.dumps(found), flush=True)
            continue
        print(
            f"{name} (batch {found['batch']}): cafx {found['cafx ms']:.1f} ms (least {found['cafx least']:.1f}), "
            f"torch {found['mode']} {found['torch ms']:.1f} ms (least {found['torch least']:.1f}): "
            f"{found['ratio']:.2f} times as fast (least {found['ratio least']:.2f}); "
            f"peak {found['cafx MB']:.0f} and {found['torch MB']:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
