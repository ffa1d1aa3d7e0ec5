"""PyTorch's side of ``fast.py``: the same nets, trained eagerly or as one CUDA graph."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import models
import torch
from fast_cafx import for_inference
from torch_side import Interpreted
from versus_torch import layers_of

DEVICE = "cuda"
WARM_UPS = 4
SECONDS = 0.5
REPEATS = 5
HOST_CALLS = 20
MEGABYTE = 1e6
Row = dict[str, Any]


def measure(
    net: str,
    batch: int,
    precision: str,
    *,
    train: bool = True,
    graph: bool = True,
    channels_last: bool = True,
    compiled: bool = False,
) -> Row:
    """Milliseconds of a training step, or of a forward pass.

    SGD is fused; cuDNN chooses its algorithms by trying.
    """
    _clear()
    free = torch.cuda.mem_get_info()[0]
    start = time.perf_counter()
    step = _step(net, batch, precision, train=train, channels_last=channels_last, compiled=compiled)
    step()
    torch.cuda.synchronize()
    row: Row = {"first_s": time.perf_counter() - start}
    run = _recorded(step) if graph else _warmed(step)
    row |= _measured(run)
    row |= {"held_mb": (free - torch.cuda.mem_get_info()[0]) / MEGABYTE}
    row |= {"used_mb": torch.cuda.max_memory_allocated() / MEGABYTE}
    del step, run
    _clear()
    return row


def _step(
    name: str, batch: int, precision: str, *, train: bool, channels_last: bool, compiled: bool
) -> Callable[[], object]:
    """One training step or forward pass."""
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "float32"
    text = models.MODELS[name](batch)
    classes = text.classes
    layers, shapes = layers_of(str(text))
    if not train:
        kept = {line.split('"')[1] for line in for_inference(text).lines}
        layers = [each for each in layers if each["name"] in kept or each["type"] == "SoftmaxWithLoss"]
        layers = [each for each in layers if not each["bottom"] or not each["bottom"][0].startswith("side")]
    with torch.device(DEVICE):
        net: Any = Interpreted(layers, shapes)
        data, label = torch.randn(*shapes["data"]), torch.randint(0, classes, (batch,))
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        data = data.contiguous(memory_format=torch.channels_last)
    run = torch.compile(net) if compiled else net
    cast = torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)
    if not train:
        net.eval()

        def forward() -> Any:
            with torch.no_grad(), cast:
                return run(data, label, False)

        return forward
    net.train()
    weights = [each for each in net.parameters() if each.dim() > 1]
    biases = [each for each in net.parameters() if each.dim() == 1]
    groups = [{"params": weights, "lr": 1e-4, "weight_decay": 5e-4}, {"params": biases, "lr": 2e-4}]
    optimizer = torch.optim.SGD(groups, lr=1e-4, momentum=0.9, fused=True)

    def iterate() -> None:
        optimizer.zero_grad(set_to_none=True)
        with cast:
            loss = run(data, label)
        loss.backward()
        optimizer.step()

    return iterate


def _warmed(step: Callable[[], object]) -> Callable[[], object]:
    for _ in range(WARM_UPS):
        step()
    return step


def _recorded(step: Callable[[], object]) -> Callable[[], object]:
    """The step as one CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        _warmed(step)
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return lambda: graph.replay()


def _measured(run: Callable[[], object]) -> dict[str, float]:
    def several(count: int) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            run()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / count

    several(1)
    count = max(3, min(400, int(SECONDS / REPEATS / several(1)) + 1))
    walls = sorted(several(count) for _ in range(REPEATS))
    hosts = []
    for _ in range(HOST_CALLS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        hosts.append(time.perf_counter() - start)
    row = {"ms": statistics.median(walls) * 1e3, "least_ms": walls[0] * 1e3, "calls": count}
    return row | {"host_ms": statistics.median(hosts) * 1e3}


def _clear() -> None:
    gc.collect()
    torch._dynamo.reset()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
