"""Peak memory of training, whole process, beside PyTorch's for the same net on the processor.

    python tests/benchmarks/memory.py --torch /path/to/python/with/torch [--batch 32] [MODEL ...]

Each measurement is a process of its own that builds the net, trains two iterations with momentum
and tells the most memory it ever held. PyTorch runs the very layers of the net's prototxt.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODELS = ("caffenet", "googlenet", "resnet50")
IMAGE = {"caffenet": 227, "googlenet": 224, "resnet50": 224}
ITERATIONS = 2
MEBIBYTE = 1 << 20


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--torch", help="a Python that has PyTorch")
    parser.add_argument("--engine", action="append", help="of cafx; default numpy")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--one", nargs=2, metavar=("RUNNER", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        run_one(*given.one)
        return
    runners = [(sys.executable, engine) for engine in given.engine or ["numpy"]]
    runners += [(given.torch, "torch")] if given.torch else []
    for model in given.models:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.json"
            path.write_text(json.dumps(description(model, given.batch)))
            for python, runner in runners:
                command = [python, __file__, "--one", runner, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                told = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
                print(f"{model:10} batch {given.batch}  {runner:8} {told}", flush=True)


def description(model: str, batch: int) -> dict[str, Any]:
    """The training net as prototxt, for cafx, and as plain values, for PyTorch."""
    from google.protobuf.json_format import MessageToDict

    from cafx.dsl import NetSpec
    from cafx.dsl import layers as L
    from cafx.kernel import registry, schema

    size = IMAGE[model]
    net = NetSpec(model)
    net.data, net.label = L.DummyData(
        ntop=2, shape=[{"dim": [batch, 3, size, size]}, {"dim": [batch]}],
        data_filler=[{"type": "constant", "value": 0.5}, {"type": "constant", "value": 7}],
    )  # fmt: skip
    proto = registry().load("model", model)(net, train=True).to_proto()
    for layer in list(proto.layer):
        if layer.type == "Accuracy":
            proto.layer.remove(layer)
    layers = [MessageToDict(layer, preserving_proto_field_name=True) for layer in proto.layer]
    return {"text": schema().to_text(proto), "layers": layers, "batch": batch, "size": size}


def run_one(runner: str, path: str) -> None:
    """Train with one of the two and tell the peak."""
    given = json.loads(Path(path).read_text())
    note = train_torch(given) if runner == "torch" else train_cafx(given, runner)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEBIBYTE
    print(f"peak {peak:7.0f} MiB  {note}")


def train_cafx(given: dict[str, Any], engine: str) -> str:
    """Two iterations of SGD with momentum."""
    from cafx.kernel import Solver, schema

    options = schema().parse_text(
        'base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 max_iter: 2 snapshot_after_train: false', "SolverParameter"
    )
    options.net_param.CopyFrom(schema().parse_text(given["text"], "NetParameter"))
    with Solver(options, engine=engine, keep="outputs") as solver:
        solver.step(ITERATIONS)
        memory = solver.net.memory
        saved = f"gradients {memory.pool / MEBIBYTE:.0f} MiB of {memory.alone / MEBIBYTE:.0f}"
        return f"loss {solver.net.loss:.3f}, {saved}"


def train_torch(given: dict[str, Any]) -> str:
    """The same with PyTorch."""
    import torch

    torch.manual_seed(1)
    data = torch.full((given["batch"], 3, given["size"], given["size"]), 0.5)
    labels = torch.full((given["batch"],), 7)
    parameters: dict[str, Any] = {}
    total = run_layers(given["layers"], {"data": data, "label": labels}, parameters)
    held = [each for tensors in parameters.values() for each in tensors if each.requires_grad]
    optimiser = torch.optim.SGD(held, lr=0.001, momentum=0.9)
    for iteration in range(ITERATIONS):
        if iteration:
            total = run_layers(given["layers"], {"data": data, "label": labels}, parameters)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        loss = float(total)
        del total
    return f"loss {loss:.3f}"


def run_layers(layers: list[dict[str, Any]], blobs: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """Forward through a prototxt's layers; parameters are made when a layer first asks for them."""
    total = 0
    for index, layer in enumerate(layers):
        kind, name = layer["type"], layer["name"]
        if kind == "DummyData":
            continue
        inputs = [blobs[bottom] for bottom in layer["bottom"]]
        if kind == "SoftmaxWithLoss":
            import torch

            total = total + layer.get("loss_weight", [1])[0] * torch.nn.functional.cross_entropy(*inputs)
            continue
        made = ROUTINES[kind](layer, inputs, parameters.setdefault(name, []))
        del inputs
        blobs[layer["top"][0]] = made
        for bottom in layer["bottom"]:  # nobody keeps what nobody reads any more
            later = any(bottom in other.get("bottom", ()) for other in layers[index + 1 :])
            if not later and bottom != layer["top"][0]:
                blobs.pop(bottom, None)
    return total


def convolution(layer: dict[str, Any], inputs: list[Any], held: list[Any]) -> Any:
    """Convolution."""
    import torch

    options = layer["convolution_param"]
    x, group = inputs[0], options.get("group", 1)
    if not held:
        kernel = options["kernel_size"][0]
        shape = (options["num_output"], x.shape[1] // group, kernel, kernel)
        held.append(drawn(shape))
        held.extend([zeros(shape[0])] if options.get("bias_term", True) else [])
    return torch.nn.functional.conv2d(
        x, held[0], held[1] if len(held) > 1 else None, options.get("stride", [1])[0],
        options.get("pad", [0])[0], groups=group,
    )  # fmt: skip


def inner_product(layer: dict[str, Any], inputs: list[Any], held: list[Any]) -> Any:
    """InnerProduct."""
    import torch

    x = inputs[0].flatten(1)
    if not held:
        count = layer["inner_product_param"]["num_output"]
        held += [drawn((count, x.shape[1])), zeros(count)]
    return torch.nn.functional.linear(x, *held)


def pooling(layer: dict[str, Any], inputs: list[Any], held: list[Any]) -> Any:
    """Pooling, windows counted as Caffe counts them."""
    import torch

    options = layer["pooling_param"]
    size = (options["kernel_size"], options.get("stride", 1), options.get("pad", 0))
    if options.get("pool") == "AVE":
        return torch.nn.functional.avg_pool2d(inputs[0], *size, ceil_mode=True)
    return torch.nn.functional.max_pool2d(inputs[0], *size, ceil_mode=True)


def batch_norm(layer: dict[str, Any], inputs: list[Any], held: list[Any]) -> Any:
    """BatchNorm with the Scale behind it: PyTorch has them in one."""
    import torch

    count = inputs[0].shape[1]
    if not held:
        held += [zeros(count).add(1).detach().requires_grad_(), zeros(count), *torch.zeros(2, count)]
    return torch.nn.functional.batch_norm(inputs[0], held[2], held[3], held[0], held[1], training=True)


def drawn(shape: tuple[int, ...]) -> Any:
    """Weights that keep the size of what goes through."""
    import math

    import torch

    return (torch.randn(shape) * math.sqrt(2 / math.prod(shape[1:]))).requires_grad_()


def zeros(count: int) -> Any:
    """A bias."""
    import torch

    return torch.zeros(count, requires_grad=True)


def functional(name: str, **options: Any) -> Any:
    """A layer without parameters."""

    def run(layer: dict[str, Any], inputs: list[Any], held: list[Any]) -> Any:
        import torch

        return getattr(torch.nn.functional, name)(inputs[0], **options)

    return run


def concat(layer: dict[str, Any], inputs: list[Any], held: list[Any]) -> Any:
    """Concat along channels."""
    import torch

    return torch.cat(inputs, 1)


ROUTINES = {
    "Convolution": convolution,
    "InnerProduct": inner_product,
    "Pooling": pooling,
    "BatchNorm": batch_norm,
    "Scale": lambda layer, inputs, held: inputs[0],
    "ReLU": functional("relu", inplace=True),
    "Dropout": functional("dropout", p=0.5),
    "LRN": functional("local_response_norm", size=5),
    "Concat": concat,
    "Eltwise": lambda layer, inputs, held: inputs[0] + inputs[1],
}

if __name__ == "__main__":
    main()
