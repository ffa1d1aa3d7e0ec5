"""Speed of cafx's detectors relative to the same models in plain PyTorch, on the CPU.

    uv run python tests/benchmarks/detectors_versus_torch.py [MODEL...] [--torch-python PATH] [--test]

As in versus_torch.py, each side runs in a separate process, rounds alternate between the two, and PyTorch runs
in the fastest of its modes. An iteration of training has a forward pass with matching and hard negative mining, a
backward pass and an SGD update; with --test, a forward pass with decoding and non-maximum suppression. PyTorch's
side is detectors_torch.py; torchvision is not needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measuring import serve
from versus_torch import MODES, SOLVER, Worker, print_slowest_steps

HERE = Path(__file__).parent
MODELS = ("vgg_ssd300", "mobilenet_ssd")
CLASSES, OBJECTS, IMAGE = 21, 3, 300


def labels(batch: int) -> np.ndarray[Any, Any]:
    """Rows of random objects, as AnnotatedData gives them: item, class, instance, four corners, difficult."""
    rng = np.random.default_rng(2)
    rows = np.zeros((batch * OBJECTS, 8), np.float32)
    rows[:, 0] = np.repeat(np.arange(batch), OBJECTS)
    rows[:, 1] = rng.integers(1, CLASSES, len(rows))
    rows[:, 3:5] = rng.uniform(0, 0.5, (len(rows), 2))
    rows[:, 5:7] = rows[:, 3:5] + rng.uniform(0.1, 0.5, (len(rows), 2))
    return rows


def cafx_worker() -> None:
    """The side of cafx: run the model in the first line of input."""
    setup = json.loads(sys.stdin.readline())
    from cafx.kernel import Net, Phase, Solver, registry, schema

    test, batch = setup["test"], setup["batch"]
    proto = registry().load("model", setup["model"])(batch=batch, classes=CLASSES, train=not test).to_proto()
    for layer in proto.layer:
        if layer.name == "label":
            layer.input_param.shape[0].dim[:] = [1, 1, batch * OBJECTS, 8]
    if test:
        net = Net(proto, Phase.TEST, engine=setup["engine"], keep="outputs")
        step: Any = net.run_forward
    else:
        options = schema().parse_text(SOLVER, "SolverParameter")
        options.net_param.CopyFrom(proto)
        solver = Solver(options, engine=setup["engine"], keep="outputs", seed=1)
        net, step = solver.net, solver.step
        net.blobs["label"].set_data(labels(batch)[None, None])
    net.blobs["data"].set_data(np.random.default_rng(0).standard_normal(net.blobs["data"].shape, dtype=np.float32))
    serve(step)
    if setup["layers"]:
        print_slowest_steps(net, not test)


def priors(model: str) -> list[Any]:
    """The model's prior boxes and their variances: two lists of rows."""
    from cafx.kernel import Net, Phase, registry

    net = Net(registry().load("model", model)(classes=CLASSES).to_proto(), Phase.TEST, engine="numpy")
    net.forward(end="mbox_priorbox", data=np.zeros(net.blobs["data"].shape))
    return [rows.reshape(-1, 4).tolist() for rows in net.blobs["mbox_priorbox"].host()[0]]


def compare(model: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Find PyTorch's fastest mode for one model, then alternate between it and cafx."""
    batch = arguments.batch or (1 if arguments.test else 2)
    setup = {"model": model, "batch": batch, "test": arguments.test, "bf16": False}
    cafx_setup = setup | {"engine": arguments.engine, "layers": arguments.layers}
    torch_setup = setup | {"threads": arguments.threads, "classes": CLASSES, "image": IMAGE, "priors": priors(model)}
    torch_setup["labels"] = labels(batch).tolist()
    cafx = Worker([sys.executable, __file__, "--worker"], cafx_setup, arguments.threads)
    cafx.ready()
    best: Worker | None = None
    best_mode = ""
    for mode in arguments.modes:
        command = [arguments.torch_python, str(HERE / "detectors_torch.py")]
        worker = Worker(command, torch_setup | {"mode": mode}, arguments.threads)
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
        "model": model,
        "batch": batch,
        "cafx ms": cafx.median,
        "torch ms": best.median,
        "mode": best_mode,
        "ratio": best.median / cafx.median,
        "minimum ratio": best.minimum / cafx.minimum,
        "cafx MB": cafx.peak / 1e6,
        "torch MB": best.peak / 1e6,
    }


def main() -> None:
    """Print one line per model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL", help=f"default: {' '.join(MODELS)}")
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH", help="interpreter with PyTorch")
    parser.add_argument("--threads", type=int, default=2, help="number of threads (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per side (default: 5)")
    parser.add_argument("--iterations", type=int, default=2, help="iterations per round (default: 2)")
    parser.add_argument("--batch", type=int, help="batch size (default: 2, with --test 1)")
    parser.add_argument("--engine", help="engine of cafx (default: the fastest installed)")
    parser.add_argument("--modes", nargs="+", default=list(MODES), help="modes of PyTorch to try")
    parser.add_argument("--test", action="store_true", help="inference: detections of images")
    parser.add_argument("--layers", action="store_true", help="print the slowest steps of cafx to standard error")
    parser.add_argument("--json", action="store_true", help="print machine-readable JSON")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        cafx_worker()
        return
    for model in arguments.models:
        result = compare(model, arguments)
        if arguments.json:
            print(json.dumps(result), flush=True)
            continue
        print(
            f"{model} (batch {result['batch']}): cafx {result['cafx ms']:.1f} ms, "
            f"PyTorch {result['mode']} {result['torch ms']:.1f} ms, "
            f"speed-up {result['ratio']:.2f} (of minimums {result['minimum ratio']:.2f}), "
            f"peak memory {result['cafx MB']:.0f} and {result['torch MB']:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
