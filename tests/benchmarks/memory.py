"""Peak memory of training on the CPU, compared with PyTorch's for the same net.

    python tests/benchmarks/memory.py --torch /path/to/python/with/torch [--batch 32] [MODEL ...]

Each measurement runs in a separate process that builds the net, trains two iterations with momentum
and reports its peak memory. PyTorch runs the layers of the net's prototxt one by one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import peak_bytes

MODELS = ("caffenet", "googlenet", "resnet50")
IMAGE = {"caffenet": 227, "googlenet": 224, "resnet50": 224}
ITERATIONS = 2
MEBIBYTE = 1 << 20


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL", help=f"default: {', '.join(MODELS)}")
    parser.add_argument("--torch", metavar="PYTHON", help="interpreter with PyTorch")
    parser.add_argument("--engine", action="append", help="engine of cafx (repeatable; default: numpy)")
    parser.add_argument("--batch", type=int, default=32, help="batch size (default: 32)")
    parser.add_argument("--one", nargs=2, metavar=("RUNNER", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure(*given.one)
        return
    runners = [(sys.executable, engine) for engine in given.engine or ["numpy"]]
    runners += [(given.torch, "torch")] if given.torch else []
    for model in given.models:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.json"
            path.write_text(json.dumps(description(model, given.batch)))
            for python, runner in runners:
                command = [python, __file__, "--one", runner, str(path)]
                run = subprocess.run(command, capture_output=True, text=True, check=False)
                report = run.stdout.strip() or run.stderr.strip().splitlines()[-1]
                print(f"{model:10} batch {given.batch}  {runner:8} {report}", flush=True)


def description(model: str, batch: int) -> dict[str, Any]:
    """The training net as prototxt for cafx and as plain values for PyTorch."""
    from google.protobuf.json_format import MessageToDict

    from cafx.dsl import NetSpec
    from cafx.dsl import layers as L
    from cafx.kernel import registry, schema

    size = IMAGE[model]
    net = NetSpec(model)
    shapes = [{"dim": [batch, 3, size, size]}, {"dim": [batch]}]
    fillers = [{"type": "constant", "value": value} for value in (0.5, 7)]
    net.data, net.label = L.DummyData(ntop=2, shape=shapes, data_filler=fillers)
    proto = registry().load("model", model)(net, train=True).to_proto()
    for layer in list(proto.layer):
        if layer.type == "Accuracy":
            proto.layer.remove(layer)
    layers = [MessageToDict(layer, preserving_proto_field_name=True) for layer in proto.layer]
    return {"text": schema().to_text(proto), "layers": layers, "batch": batch, "size": size}


def measure(runner: str, path: str) -> None:
    """Train with PyTorch or an engine of cafx and print the peak."""
    given = json.loads(Path(path).read_text())
    note = train_torch(given) if runner == "torch" else train_cafx(given, runner)
    print(f"peak {peak_bytes() / MEBIBYTE:7.0f} MiB  {note}")


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
        buffers = f"buffers {memory.alone / MEBIBYTE:.0f} MiB, {memory.pool / MEBIBYTE:.0f} MiB after sharing"
        return f"loss {solver.net.loss:.3f}, {buffers}"


def train_torch(given: dict[str, Any]) -> str:
    """Two iterations of SGD with momentum in PyTorch."""
    import torch

    torch.manual_seed(1)
    data = torch.full((given["batch"], 3, given["size"], given["size"]), 0.5)
    labels = torch.full((given["batch"],), 7)
    parameters: dict[str, Any] = {}
    total = run_layers(given["layers"], {"data": data, "label": labels}, parameters)
    learned = [each for tensors in parameters.values() for each in tensors if each.requires_grad]
    optimiser = torch.optim.SGD(learned, lr=0.001, momentum=0.9)
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
    """Run the layers of a prototxt; a layer creates its parameters in its first run."""
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
        top = FUNCTIONS[kind](layer, inputs, parameters.setdefault(name, []))
        del inputs
        blobs[layer["top"][0]] = top
        for bottom in layer["bottom"]:  # release blobs that no later layer reads
            later = any(bottom in other.get("bottom", ()) for other in layers[index + 1 :])
            if not later and bottom != layer["top"][0]:
                blobs.pop(bottom, None)
    return total


def convolution(layer: dict[str, Any], inputs: list[Any], params: list[Any]) -> Any:
    """Convolution."""
    import torch

    options = layer["convolution_param"]
    x, group = inputs[0], options.get("group", 1)
    if not params:
        kernel = options["kernel_size"][0]
        shape = (options["num_output"], x.shape[1] // group, kernel, kernel)
        params.append(weights(shape))
        params.extend([zeros(shape[0])] if options.get("bias_term", True) else [])
    bias = params[1] if len(params) > 1 else None
    stride, pad = options.get("stride", [1])[0], options.get("pad", [0])[0]
    return torch.nn.functional.conv2d(x, params[0], bias, stride, pad, groups=group)


def inner_product(layer: dict[str, Any], inputs: list[Any], params: list[Any]) -> Any:
    """InnerProduct."""
    import torch

    x = inputs[0].flatten(1)
    if not params:
        count = layer["inner_product_param"]["num_output"]
        params += [weights((count, x.shape[1])), zeros(count)]
    return torch.nn.functional.linear(x, *params)


def pooling(layer: dict[str, Any], inputs: list[Any], params: list[Any]) -> Any:
    """Pooling, with the output size rounded up as in Caffe."""
    import torch

    options = layer["pooling_param"]
    size = (options["kernel_size"], options.get("stride", 1), options.get("pad", 0))
    if options.get("pool") == "AVE":
        return torch.nn.functional.avg_pool2d(inputs[0], *size, ceil_mode=True)
    return torch.nn.functional.max_pool2d(inputs[0], *size, ceil_mode=True)


def batch_norm(layer: dict[str, Any], inputs: list[Any], params: list[Any]) -> Any:
    """BatchNorm with the following Scale, which are one layer in PyTorch."""
    import torch

    count = inputs[0].shape[1]
    if not params:
        params += [zeros(count).add(1).detach().requires_grad_(), zeros(count), *torch.zeros(2, count)]
    scale, shift, mean, variance = params
    return torch.nn.functional.batch_norm(inputs[0], mean, variance, scale, shift, training=True)


def weights(shape: tuple[int, ...]) -> Any:
    """Weights that preserve the variance of activations."""
    import math

    import torch

    return (torch.randn(shape) * math.sqrt(2 / math.prod(shape[1:]))).requires_grad_()


def zeros(count: int) -> Any:
    """A bias, initially zero."""
    import torch

    return torch.zeros(count, requires_grad=True)


def functional(name: str, **options: Any) -> Any:
    """A layer without parameters, by the name of its function in PyTorch."""

    def run(layer: dict[str, Any], inputs: list[Any], params: list[Any]) -> Any:
        import torch

        return getattr(torch.nn.functional, name)(inputs[0], **options)

    return run


def concat(layer: dict[str, Any], inputs: list[Any], params: list[Any]) -> Any:
    """Concatenation along channels."""
    import torch

    return torch.cat(inputs, 1)


FUNCTIONS = {
    "Convolution": convolution,
    "InnerProduct": inner_product,
    "Pooling": pooling,
    "BatchNorm": batch_norm,
    "Scale": lambda layer, inputs, params: inputs[0],
    "ReLU": functional("relu", inplace=True),
    "Dropout": functional("dropout", p=0.5),
    "LRN": functional("local_response_norm", size=5),
    "Concat": concat,
    "Eltwise": lambda layer, inputs, params: inputs[0] + inputs[1],
}

if __name__ == "__main__":
    main()
