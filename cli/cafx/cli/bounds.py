"""What bounds a step: the arithmetic and the bytes of its layers, and what this machine does of either per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import attrs

from cafx.kernel import TEST, Net, schema
from cafx.kernel.net import Engine, LayerPlan

GIGA = 1e9
FLOPS = 2
"""Operations per multiply-add."""
PEAK_SIZE = 2048
"""Rows of the square matrices whose product measures the arithmetic."""
COPIED = 1 << 24
"""Values of the ReLU's bottom that measures the memory: more than fits into caches."""
ROUNDS, SECONDS = 10, 1.0
"""Limits of a measurement."""
ARITHMETIC, MEMORY = "arithmetic", "memory"


@attrs.frozen
class Work:
    """What a step has to do in a pass.

    Attributes:
        multiply_adds: nominal multiply-adds.
        bytes: of bottoms, tops and parameters, each read or written once; 0 for a source.
    """

    multiply_adds: int
    bytes: int


@attrs.frozen
class Peaks:
    """What a machine does per second.

    Attributes:
        gflops: billions of operations in a large matrix product.
        gbytes: GB read and written by a ReLU of a large blob.
    """

    gflops: float
    gbytes: float

    def bound(self, gflop: float, gbyte: float) -> tuple[str, float]:
        """Whether arithmetic or memory bounds a step, and the seconds that it takes at least.

        Args:
            gflop: billions of operations.
            gbyte: GB read and written.

        Example:
            >>> Peaks(gflops=200, gbytes=20).bound(gflop=1, gbyte=0.05)
            ('arithmetic', 0.005)
        """
        seconds = {ARITHMETIC: gflop / self.gflops, MEMORY: gbyte / self.gbytes}
        slower = max(seconds, key=lambda each: seconds[each])
        return slower, seconds[slower]


def measure(engine: Engine) -> Peaks:
    """The best of several runs, in the engine's precision."""
    gemm = _fastest(engine.gemm(PEAK_SIZE), engine)
    text = f"""
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: {COPIED} }} }} }}
        layer {{ name: "y" type: "ReLU" bottom: "x" top: "y" }}"""
    with Net(schema().parse_text(text, "NetParameter"), TEST, engine=engine) as net:
        net.blobs["x"].mutable_data[...] = 1
        relu = _fastest(net.run_forward, engine)
        return Peaks(FLOPS * PEAK_SIZE**3 / gemm / GIGA, 2 * net.blobs["x"].synced_data.nbytes / relu / GIGA)


def _fastest(run: Callable[[], object], engine: Engine) -> float:
    """The fewest seconds of several runs."""
    best, began = float("inf"), time.perf_counter()
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        engine.synchronize()
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended - began > SECONDS:
            break
    return best


def work_of(layers: Sequence[LayerPlan], *, backward: bool) -> Work:
    """The work of a step.

    Blobs that a fused step hands from one of its layers to the next do not count as bytes. The gradients of parameters
    and of bottoms are as much work as the forward pass each.

    Args:
        layers: those that the step runs.
        backward: whether a backward pass follows.
    """
    tops = {id(top) for each in layers for top in each.tops}
    inner = tops & {id(bottom) for each in layers for bottom in each.bottoms}
    inner -= {id(top) for top in layers[-1].tops}
    multiply_adds = moved = 0
    for each in layers:
        if not each.bottoms:
            continue
        passes = _passes(each, backward)
        multiply_adds += passes * each.layer.multiply_adds(list(each.bottoms))
        blobs = {id(blob): blob for blob in (*each.bottoms, *each.tops, *each.layer.blobs) if id(blob) not in inner}
        moved += passes * sum(blob.synced_data.nbytes for blob in blobs.values())
    return Work(multiply_adds, moved)


def _passes(planned: LayerPlan, backward: bool) -> int:
    """The forward pass, and which gradients are computed."""
    if not (backward and planned.needs_backward):
        return 1
    return 1 + any(planned.layer.param_propagate_down) + any(planned.propagate_down)
