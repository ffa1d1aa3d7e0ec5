"""What a program says it needs is what a process really holds."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from cafx_engine_onednn import OneDNN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

BLOCK = """
layer {{ name: "conv{0}" type: "Convolution" bottom: "{1}" top: "conv{0}"
  convolution_param {{ num_output: 64 kernel_size: {2} pad: {3} bias_term: false weight_filler {{ type: "msra" }} }} }}
layer {{ name: "norm{0}" type: "BatchNorm" bottom: "conv{0}" top: "conv{0}" }}
layer {{ name: "scale{0}" type: "Scale" bottom: "conv{0}" top: "conv{0}" scale_param {{ bias_term: true }} }}
layer {{ name: "relu{0}" type: "ReLU" bottom: "conv{0}" top: "conv{0}" }}
layer {{ name: "sum{0}" type: "Eltwise" bottom: "conv{0}" bottom: "{1}" top: "sum{0}" }}
"""
NET = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: {batch} dim: 64 dim: 64 dim: 64 }} }} }}
{blocks}
layer {{ name: "pool" type: "Pooling" bottom: "sum3" top: "pool" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param {{ num_output: 512 weight_filler {{ type: "msra" }} }} }}
layer {{ name: "loss" type: "Reduction" bottom: "fc" top: "loss" loss_weight: 1
  reduction_param {{ operation: SUMSQ }} }}
"""
CHILD = """
import json, sys
from cafx.kernel import Phase, Solver, Net, schema

def resident(kind):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024

def passes(net, backward):
    def run():
        net.run_forward()
        if backward:
            net.run_backward()
    return run

def build(text, phase, keep):
    proto = schema().parse_text(text, "NetParameter")
    if phase == "TEST":
        net = Net(proto, Phase.TEST, engine="onednn", keep=keep, threads=1)
        return net, passes(net, backward=keep == "all"), 0
    options = schema().parse_text('base_lr: 1e-6 lr_policy: "fixed" momentum: 0.9 max_iter: 9', "SolverParameter")
    options.net_param.CopyFrom(proto)
    solver = Solver(options, engine="onednn", keep=keep, threads=1)
    return solver.net, solver.step, sum(slot.nbytes for slot in solver.update.history)

small, large, phase, keep = json.loads(sys.argv[1])
warm = build(small, phase, keep)
warm[1]()
before = resident("VmRSS")
net, run, history = build(large, phase, keep)
planned = net.program.nbytes + history
net.blobs["data"].mutable_data[...] = 1
for _ in range(2):
    run()
sizes = {"planned": planned, "real": resident("VmHWM") - before}
print(json.dumps(sizes | {"pool": net.memory.pool, "alone": net.memory.alone}))
"""
TOLERANCE = 0.15
"""Allocators round up, primitives are code, and layers have small buffers of their own."""


def net_of(batch: int) -> str:
    blocks, bottom = "", "data"
    for index, kernel in enumerate((3, 1, 3, 5)):
        blocks += BLOCK.format(index, bottom, kernel, kernel // 2)
        bottom = f"sum{index}"
    return NET.format(batch=batch, blocks=blocks)


def measured(phase: str, keep: str) -> dict[str, Any]:
    """Planned and real bytes of a net in a process of its own."""
    setup = json.dumps([net_of(1), net_of(24), phase, keep])
    done = subprocess.run([sys.executable, "-c", CHILD, setup], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("phase", "keep"), [("TRAIN", "outputs"), ("TRAIN", "all"), ("TEST", "outputs"), ("TEST", "all")]
)
def test_planned_memory_is_what_the_process_holds(phase: str, keep: str) -> None:
    found = measured(phase, keep)
    assert found["real"] == pytest.approx(found["planned"], rel=TOLERANCE), found
    assert (found["pool"] < found["alone"]) == (keep == "outputs")
