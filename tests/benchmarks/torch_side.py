"""PyTorch's side of ``versus_torch.py``: the same net as a module, trained in one of PyTorch's modes.

The interpreter needs PyTorch but not cafx: the net is read as JSON from standard input.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import torch
from measuring import serve
from torch import nn
from torch.nn import functional


class Interpreted(nn.Module):
    """Runs the layers of a net in order on a dictionary of blobs and adds up the losses."""

    def __init__(self, layers: list[dict[str, Any]], shapes: dict[str, list[int]]) -> None:
        super().__init__()
        self.layers = layers
        self.parts = nn.ModuleDict()
        for layer in layers:
            module = module_of(layer, shapes)
            if module is not None:
                self.parts[layer["name"]] = module

    def forward(self, data: Any, label: Any, losses: bool = True) -> Any:
        """The weighted sum of losses or, without losses, the last scores."""
        blobs = {"data": data}
        total = 0.0
        for layer in self.layers:
            name, kind, options = layer["name"], layer["type"], layer["options"]
            bottoms = [blobs.get(bottom) for bottom in layer["bottom"]]
            x = bottoms[0] if bottoms else None
            if kind in ("Input", "Scale"):
                continue
            if kind == "SoftmaxWithLoss":
                if losses:
                    total = total + layer["weight"] * functional.cross_entropy(x.flatten(1).float(), label)
                else:
                    blobs["score"] = x
                continue
            if kind == "Eltwise":
                y = bottoms[0] + bottoms[1]
            elif kind == "ShuffleChannel":
                y = functional.channel_shuffle(x, options["group"])
            elif kind == "Concat":
                y = torch.cat(bottoms, 1)
            elif kind == "Pooling" and options.get("global"):
                y = x.mean((2, 3), keepdim=True)
            elif kind == "InnerProduct":
                y = self.parts[name](x.flatten(1))
            else:
                y = self.parts[name](x)
            blobs[layer["top"]] = y
        return total if losses else blobs["score"]


def module_of(layer: dict[str, Any], shapes: dict[str, list[int]]) -> Any:
    """The module of one layer; None for layers without one."""
    kind, options = layer["type"], layer["options"]
    shape = shapes[layer["bottom"][0]] if layer["bottom"] else []
    if kind == "Convolution":
        window = options["kernel"], options["stride"], options["pad"]
        return nn.Conv2d(shape[1], options["outputs"], *window, groups=options["group"], bias=options["bias"])
    if kind == "InnerProduct":
        inputs = 1
        for length in shape[1:]:
            inputs *= length
        return nn.Linear(inputs, options["outputs"])
    if kind == "ReLU":
        return nn.ReLU(inplace=True)
    if kind == "Dropout":
        return nn.Dropout(options["ratio"])
    if kind == "LRN":
        return nn.LocalResponseNorm(5, 1e-4, 0.75)
    if kind == "BatchNorm":
        return nn.BatchNorm2d(shape[1])
    if kind == "Pooling" and not options.get("global"):
        window = options["kernel"], options["stride"], options["pad"]
        return (nn.AvgPool2d if options["mean"] else nn.MaxPool2d)(*window, ceil_mode=True)
    return None


def exported(net: Any, data: Any, label: Any, threads: int) -> Any:
    """The forward pass in ONNX Runtime, which must be installed along with PyTorch."""
    import io

    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(net, (data, label, False), file, input_names=["data"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"data": data.numpy()})


def main() -> None:
    """Read the net from the first line of input and run it on request."""
    setup = json.loads(sys.stdin.readline())
    mode, batch = setup["mode"], setup["shapes"]["data"]
    torch.set_num_threads(setup["threads"])
    torch.manual_seed(0)
    net = Interpreted(setup["layers"], setup["shapes"])
    data, label = torch.randn(*batch), torch.randint(0, setup["classes"], (batch[0],))
    if "channels_last" in mode:
        net, data = net.to(memory_format=torch.channels_last), data.to(memory_format=torch.channels_last)
    weights = [p for p in net.parameters() if p.dim() > 1]
    biases = [p for p in net.parameters() if p.dim() == 1]
    groups = [{"params": weights, "lr": 1e-4, "weight_decay": 5e-4}, {"params": biases, "lr": 2e-4}]
    optimizer = torch.optim.SGD([group for group in groups if group["params"]], lr=1e-4, momentum=0.9)
    cast = torch.autocast("cpu", torch.bfloat16) if setup["bf16"] else contextlib.nullcontext()
    run = torch.compile(net) if "compile" in mode else net

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with cast:
            loss = run(data, label)
        loss.backward()
        optimizer.step()

    def test() -> None:
        with torch.inference_mode(), cast:
            run(data, label, False)

    step = test if setup["test"] else train
    if setup["test"]:
        net.eval()
    if mode == "onnxruntime":
        step = exported(net, data, label, setup["threads"])
    serve(step)


if __name__ == "__main__":
    main()
