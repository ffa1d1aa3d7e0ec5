"""oneDNN's normalisation primitives against the same computation in NumPy."""

import numpy as np
import pytest

from cafx.conformance import nets
from cafx.kernel import Phase
from cafx_engine_onednn.api.constants import Alg, Arg, Norm, Tag
from cafx_engine_onednn.api.library import unavailable
from cafx_engine_onednn.api.memory import MemoryDesc
from cafx_engine_onednn.api.normalization import (
    batch_norm_backward,
    batch_norm_forward,
    lrn_backward,
    lrn_forward,
    softmax_backward,
    softmax_forward,
)

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
TOLERANCE = 1e-4
"""Relative to the largest value: sums in a different order."""
both_layouts = pytest.mark.parametrize("tag", [Tag.ABCD, Tag.X2_16B], ids=["plain", "blocked"])


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def assert_near(result, expected):
    nets.assert_near(result, expected, TOLERANCE)


@both_layouts
def test_lrn_and_its_gradient_match_numpy(run, tag):
    x, g = normal(2, 16, 3, 4), normal(2, 16, 3, 4, seed=1)
    size, alpha, beta, k = 5, 0.3, 0.75, 1.5
    around = [[j for j in range(i - 2, i + 3) if 0 <= j < 16] for i in range(16)]
    scale = np.stack([k + alpha / size * (x[:, c] ** 2).sum(1) for c in around], 1)
    y = x * scale**-beta
    inner = g * y / scale
    neighbours = np.stack([inner[:, c].sum(1) for c in around], 1)
    gx = g * scale**-beta - 2 * alpha * beta / size * x * neighbours

    desc = MemoryDesc.tagged(x.shape, tag)
    options = size, alpha, beta, k
    forward = lrn_forward(Alg.LRN_ACROSS_CHANNELS, desc, desc, *options)
    extra = (Arg.WORKSPACE,) if forward.workspace.size else ()
    out = run(forward, {Arg.SRC: x}, Arg.DST, *extra)
    assert_near(run.read(out[Arg.DST]), y)
    back = lrn_backward(Alg.LRN_ACROSS_CHANNELS, desc, desc, desc, *options, forward)
    stored = {arg: out[arg] for arg in extra}
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g} | stored, Arg.DIFF_SRC)
    assert_near(run.read(out[Arg.DIFF_SRC]), gx)


@pytest.mark.parametrize("relu", [False, True], ids=["linear", "relu"])
@pytest.mark.parametrize("stats", [False, True], ids=["batch", "global"])
@both_layouts
def test_batch_norm_and_its_gradients_match_numpy(run, tag, stats, relu):
    x, g = normal(3, 16, 2, 5), normal(3, 16, 2, 5, seed=1)
    scale, shift, epsilon = normal(16, seed=2), normal(16, seed=3), 1e-3
    axes, column = (0, 2, 3), (16, 1, 1)
    mean = normal(16, seed=4) if stats else x.mean(axes)
    variance = normal(16, seed=5) ** 2 + 1 if stats else x.var(axes)
    deviation = np.sqrt(variance + epsilon).reshape(column)
    hat = (x - mean.reshape(column)) / deviation
    y = hat * scale.reshape(column) + shift.reshape(column)

    desc = MemoryDesc.tagged(x.shape, tag)
    flags = Norm.SCALE | Norm.SHIFT | (Norm.GLOBAL_STATS if stats else 0)
    flags |= Norm.FUSE_RELU if relu else 0
    forward = batch_norm_forward(desc, desc, epsilon, flags)
    inputs = {Arg.SRC: x, Arg.SCALE: scale, Arg.SHIFT: shift}
    outputs = [Arg.DST] + ([Arg.WORKSPACE] if relu else [])
    stored = {Arg.MEAN: mean, Arg.VARIANCE: variance}
    if stats:
        out = run(forward, inputs | stored, *outputs)
    else:
        out = run(forward, inputs, *outputs, *stored)
        assert_near(run.read(out[Arg.MEAN]), mean)
        assert_near(run.read(out[Arg.VARIANCE]), variance)
    assert_near(run.read(out[Arg.DST]), np.maximum(y, 0) if relu else y)

    g_norm = g * (y > 0) if relu else g
    gscale, gshift = (g_norm * hat).sum(axes), g_norm.sum(axes)
    gx = g_norm.copy()
    if not stats:
        gx -= g_norm.mean(axes).reshape(column) + hat * (g_norm * hat).mean(axes).reshape(column)
    gx *= scale.reshape(column) / deviation
    back = batch_norm_backward(desc, desc, desc, epsilon, flags, forward)
    inputs = {Arg.SRC: x, Arg.SCALE: scale, Arg.DIFF_DST: g} | stored
    inputs |= {Arg.WORKSPACE: out[Arg.WORKSPACE]} if relu else {}
    out = run(back, inputs, Arg.DIFF_SRC, Arg.DIFF_SCALE, Arg.DIFF_SHIFT)
    assert_near(run.read(out[Arg.DIFF_SRC]), gx)
    assert_near(run.read(out[Arg.DIFF_SCALE]), gscale)
    assert_near(run.read(out[Arg.DIFF_SHIFT]), gshift)


def test_softmax_and_its_gradient_match_numpy(run):
    x, g = normal(3, 7, 2), normal(3, 7, 2, seed=1)
    desc = MemoryDesc.plain(x.shape)
    e = np.exp(x)
    y = e / e.sum(1, keepdims=True)
    forward = softmax_forward(desc, desc, 1)
    out = run(forward, {Arg.SRC: x}, Arg.DST)
    assert_near(run.read(out[Arg.DST]), y)
    back = softmax_backward(desc, desc, desc, 1, forward)
    out = run(back, {Arg.DST: y, Arg.DIFF_DST: g}, Arg.DIFF_SRC)
    assert_near(run.read(out[Arg.DIFF_SRC]), y * (g - (g * y).sum(1, keepdims=True)))


@pytest.mark.parametrize(("channels", "implementation"), [(20, "blocked"), (32, "own")])
def test_statistics_of_channels_last_pixels_that_fill_no_vectors_are_taken_in_blocks(channels, implementation):
    text = f"""force_backward: true
    layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 24 dim: 5 dim: 4 }} }} }}
    layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y"
      convolution_param {{ num_output: {channels} kernel_size: 1
        bias_term: false weight_filler {{ type: "gaussian" std: 0.2 }} }} }}
    layer {{ name: "norm" type: "BatchNorm" bottom: "y" top: "y" }}
    layer {{ name: "relu" type: "ReLU" bottom: "y" top: "y" }}"""
    passes = []
    for engine in ("numpy", "onednn"):
        net = nets.net_of_text(text, Phase.TRAIN, engine=engine, seed=1)
        y = net.forward(x=normal(2, 24, 5, 4))["y"].copy()
        net.backward(y=normal(*y.shape, seed=1))
        passes.append([y, *(blob.diff.copy() for blob in net.layers[1].blobs)])
    for expected, found in zip(*passes, strict=True):
        assert_near(found, expected)
    convolution, norm = (step.routines[0].forward_desc for step in net.program.steps[-2:])
    assert convolution.dst.strides[1] == 1
    assert bool(norm.src.blocks) == (implementation == "blocked")
