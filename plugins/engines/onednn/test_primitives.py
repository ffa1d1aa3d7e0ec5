"""Each oneDNN primitive against the same computation in NumPy."""

import itertools
import threading

import numpy as np
import pytest

from cafx.conformance import nets
from cafx_engine_onednn.api.attributes import Attr, BinaryOp, EltwiseOp, SumOp
from cafx_engine_onednn.api.constants import Alg, Arg, DataType, Tag, post_op_arg, scale_arg, source_arg
from cafx_engine_onednn.api.library import load, unavailable
from cafx_engine_onednn.api.memory import Memory, MemoryDesc
from cafx_engine_onednn.api.pointwise import binary, concat, eltwise_backward, eltwise_forward, reduction, weighted_sum
from cafx_engine_onednn.api.products import (
    inner_product_backward_data,
    inner_product_backward_weights,
    inner_product_forward,
    matmul,
)
from cafx_engine_onednn.api.windowed import Window, convolution, pooling_backward, pooling_forward

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
TOLERANCE = 2e-4
"""Relative to the largest value: sums of hundreds of products, added in a different order."""
BF16_TOLERANCE = 3e-2
"""bfloat16 keeps 8 bits: half a unit in the last place of the inputs, once per product."""


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def assert_near(result, expected, tolerance=TOLERANCE):
    nets.assert_near(result, expected, tolerance)


both_layouts = pytest.mark.parametrize("tag", [Tag.ABCD, Tag.X2_16B], ids=["plain", "blocked"])


def taps(spatial, kernel, stride, pad, dilation):
    """Per kernel offset: the slices of the padded input it reads, and the output extents."""
    extents = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(spatial, kernel, stride, pad, dilation, strict=True)
    ]
    for offset in itertools.product(*map(range, kernel)):
        reads = tuple(
            slice(o * d, o * d + s * (n - 1) + 1, s)
            for o, d, s, n in zip(offset, dilation, stride, extents, strict=True)
        )
        yield offset, reads, extents


def grouped(x, groups, axis):
    shape = (*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
    return x.reshape(shape)


def padded(x, pad):
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pad)])


def reference_convolution(x, w, stride, pad, dilation, groups):
    p = padded(x, pad)
    kernel = w.shape[2:]
    y = 0
    for offset, reads, _ in taps(x.shape[2:], kernel, stride, pad, dilation):
        inputs = grouped(p[(slice(None), slice(None), *reads)], groups, 1)
        tap = grouped(w[(slice(None), slice(None), *offset)], groups, 0)
        y = y + np.einsum("ngi...,goi->ngo...", inputs, tap)
    return y.reshape(y.shape[0], -1, *y.shape[3:])


def reference_convolution_gradients(x, w, g, stride, pad, dilation, groups):
    p = padded(x, pad)
    dp, dw = np.zeros_like(p), np.zeros_like(w)
    gg = grouped(g, groups, 1)
    for offset, reads, _ in taps(x.shape[2:], w.shape[2:], stride, pad, dilation):
        where = (slice(None), slice(None), *reads)
        tap = grouped(w[(slice(None), slice(None), *offset)], groups, 0)
        scattered = np.einsum("ngo...,goi->ngi...", gg, tap)
        dp[where] += scattered.reshape(dp[where].shape)
        inputs = grouped(p[where], groups, 1)
        flat_g, flat_x = gg.reshape(*gg.shape[:3], -1), inputs.reshape(*inputs.shape[:3], -1)
        dw[(slice(None), slice(None), *offset)] = np.einsum("ngot,ngit->goi", flat_g, flat_x).reshape(dw.shape[:2])
    inside = tuple(slice(q, q + n) for q, n in zip(pad, x.shape[2:], strict=True))
    return dp[(slice(None), slice(None), *inside)], dw


CONVOLUTIONS = {
    "1d": ((2, 3, 9), 4, (3,), (2,), (1,), (1,), 1),
    "2d": ((2, 3, 8, 7), 20, (3, 2), (1, 2), (1, 0), (1, 1), 1),
    "2d wide": ((2, 32, 6, 6), 48, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "2d remainder unread": ((1, 4, 8, 8), 6, (3, 3), (2, 2), (0, 0), (1, 1), 1),
    "2d grouped odd": ((2, 6, 7, 7), 9, (3, 3), (1, 1), (1, 1), (1, 1), 3),
    "2d depthwise": ((2, 16, 7, 7), 16, (3, 3), (1, 1), (1, 1), (1, 1), 16),
    "2d dilated": ((1, 3, 11, 9), 5, (3, 3), (1, 1), (2, 2), (2, 3), 1),
    "3d": ((1, 2, 5, 6, 4), 3, (2, 3, 2), (1, 1, 2), (1, 1, 0), (1, 1, 1), 1),
}
"""Input shape, outputs, kernel, stride, pad, dilation and groups."""


def window_of(x_dims, y_dims, kernel, stride, pad, dilation):
    end = [
        (o - 1) * s + d * (k - 1) + 1 - n - p
        for n, o, k, s, p, d in zip(x_dims[2:], y_dims[2:], kernel, stride, pad, dilation, strict=True)
    ]
    return Window(stride, pad, end, dilation)


@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_and_its_gradients_match_numpy(run, case):
    x_dims, outputs, kernel, stride, pad, dilation, groups = case
    x, w = normal(*x_dims), normal(outputs, x_dims[1] // groups, *kernel, seed=1)
    b = normal(outputs, seed=2)
    y = reference_convolution(x, w, stride, pad, dilation, groups)
    window = window_of(x_dims, y.shape, kernel, stride, pad, dilation)
    wg = grouped(w, groups, 0) if groups > 1 else w
    dx, dy, dw, db = (MemoryDesc.any(a.shape) for a in (x, y, wg, b))

    forward = convolution.forward(dx, dw, db, dy, window)
    out = run(forward, {Arg.SRC: x, Arg.WEIGHTS: wg, Arg.BIAS: b}, Arg.DST)
    assert_near(run.read(out[Arg.DST]), y + b.reshape(-1, *[1] * len(kernel)))

    g = normal(*y.shape, seed=3)
    gx, gw = reference_convolution_gradients(x, w, g, stride, pad, dilation, groups)
    back = convolution.backward_data(dx, dw, dy, window, forward)
    out = run(back, {Arg.DIFF_DST: g, Arg.WEIGHTS: wg}, Arg.DIFF_SRC)
    assert_near(run.read(out[Arg.DIFF_SRC]), gx)

    back = convolution.backward_weights(dx, dw, db, dy, window, forward)
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g}, Arg.DIFF_WEIGHTS, Arg.DIFF_BIAS)
    assert_near(run.read(out[Arg.DIFF_WEIGHTS]).reshape(w.shape), gw)
    assert_near(run.read(out[Arg.DIFF_BIAS]), g.sum(axis=(0, *range(2, g.ndim))))


def test_a_convolution_applies_its_post_ops_in_order(run):
    x, w, old, other = (normal(2, 3, 6, 6), normal(4, 3, 3, 3), normal(2, 4, 4, 4), normal(1, 4, 1, 1))
    window = Window((1, 1), (0, 0), (0, 0))
    dx, dw = MemoryDesc.any(x.shape), MemoryDesc.any(w.shape)
    ops = [SumOp(0.5), EltwiseOp(Alg.RELU), BinaryOp(Alg.BINARY_MUL, MemoryDesc.plain(other.shape))]
    dy = MemoryDesc.any(old.shape)
    forward = convolution.forward(dx, dw, None, dy, window, training=False, attr=Attr(ops))
    dst = run.load(old, forward.dst)
    scale = run.load(other, MemoryDesc.plain(other.shape))
    run(forward, {Arg.SRC: x, Arg.WEIGHTS: w, Arg.DST: dst, post_op_arg(2): scale})
    y = reference_convolution(x, w, (1, 1), (0, 0), (1, 1), 1)
    assert_near(run.read(dst), np.maximum(y + 0.5 * old, 0) * other)


@pytest.mark.skipif(not (REASON or load().has_bf16), reason="no bfloat16 arithmetic")
def test_a_bfloat16_convolution_has_float32_parameter_gradients(run):
    x, w = normal(2, 32, 6, 6), normal(32, 32, 3, 3, seed=1) / 17
    window = Window((1, 1), (1, 1), (1, 1))
    half = [MemoryDesc.any(a.shape, DataType.BF16) for a in (x, w, x)]
    forward = convolution.forward(half[0], half[1], None, half[2], window)
    out = run(forward, {Arg.SRC: x, Arg.WEIGHTS: w}, Arg.DST)
    assert_near(run.read(out[Arg.DST]), reference_convolution(x, w, (1, 1), (1, 1), (1, 1), 1), BF16_TOLERANCE)
    g = normal(*x.shape, seed=3)
    full = MemoryDesc.any(w.shape)
    back = convolution.backward_weights(half[0], full, None, half[2], window, forward)
    assert back.diff_weights.dtype == DataType.F32
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g}, Arg.DIFF_WEIGHTS)
    _, gw = reference_convolution_gradients(x, w, g, (1, 1), (1, 1), (1, 1), 1)
    assert_near(run.read(out[Arg.DIFF_WEIGHTS]), gw, BF16_TOLERANCE)


@pytest.mark.parametrize("alg", [Alg.POOLING_MAX, Alg.POOLING_AVG_INCLUDE_PADDING, Alg.POOLING_AVG_EXCLUDE_PADDING])
@both_layouts
def test_pooling_and_its_gradient_match_numpy(run, alg, tag):
    x = normal(2, 5, 7, 6)
    kernel, stride, pad = (3, 2), (2, 2), (1, 0)
    window = Window(stride, pad, (1, 0), kernel=kernel)
    reads = list(taps(x.shape[2:], kernel, stride, pad, (1, 1)))
    p = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)], constant_values=-np.inf)
    views = np.stack([p[(slice(None), slice(None), *r)] for _, r, _ in reads])
    inside = np.isfinite(views)
    g = normal(*views.shape[1:], seed=1)
    if alg == Alg.POOLING_MAX:
        y = views.max(0)
        share = views == y
    else:
        count = len(reads) if alg == Alg.POOLING_AVG_INCLUDE_PADDING else inside.sum(0)
        y = np.where(inside, views, 0).sum(0) / count
        share = inside / count
    gp = np.zeros_like(p)
    for part, (_, r, _) in zip(share * g, reads, strict=True):
        gp[(slice(None), slice(None), *r)] += part

    dx, dy = MemoryDesc.tagged(x.shape, tag), MemoryDesc.any(y.shape)
    forward = pooling_forward(alg, dx, dy, window)
    extra = (Arg.WORKSPACE,) if forward.workspace.size else ()
    assert bool(extra) == (alg == Alg.POOLING_MAX)
    out = run(forward, {Arg.SRC: x}, Arg.DST, *extra)
    assert_near(run.read(out[Arg.DST]), y)
    back = pooling_backward(alg, dx, forward.dst, window, forward)
    out = run(back, {Arg.DIFF_DST: g} | {arg: out[arg] for arg in extra}, Arg.DIFF_SRC)
    assert_near(run.read(out[Arg.DIFF_SRC]), gp[:, :, 1:-1])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elu(x):
    return np.where(x > 0, x, 0.7 * np.expm1(x))


ELTWISE = {
    Alg.RELU: (0.0, lambda x: np.maximum(x, 0), lambda x, y: x > 0, Alg.RELU_DST),
    Alg.TANH: (0.0, np.tanh, lambda x, y: 1 - y * y, Alg.TANH_DST),
    Alg.LOGISTIC: (0.0, sigmoid, lambda x, y: y * (1 - y), Alg.LOGISTIC_DST),
    Alg.ELU: (0.7, elu, lambda x, y: np.where(x > 0, 1, y + 0.7), Alg.ELU_DST),
    Alg.EXP: (0.0, np.exp, lambda x, y: y, Alg.EXP_DST),
    Alg.SOFT_RELU: (1.0, lambda x: np.log1p(np.exp(x)), lambda x, y: sigmoid(x), None),
    Alg.ABS: (0.0, np.abs, lambda x, y: np.sign(x), None),
    Alg.SQUARE: (0.0, np.square, lambda x, y: 2 * x, None),
}
"""Alpha, function, derivative from input and output, and the algorithm that differentiates from the output."""


@pytest.mark.parametrize("alg", ELTWISE, ids=lambda a: a.name)
def test_an_elementwise_function_and_its_gradient_run_in_place(run, alg):
    alpha, function, derivative, from_output = ELTWISE[alg]
    x, g = normal(3, 17), normal(3, 17, seed=1)
    desc = MemoryDesc.plain(x.shape)
    y = function(x)
    forward = eltwise_forward(alg, desc, desc, alpha)
    memory = run.load(x, desc)
    run(forward, {Arg.SRC: memory, Arg.DST: memory})
    assert_near(run.read(memory), y)
    for form, stored, role in ((alg, x, Arg.SRC), (from_output, y, Arg.DST)):
        if form is None:
            continue
        back = eltwise_backward(form, desc, desc, desc, forward, alpha)
        diff = run.load(g, desc)
        run(back, {role: run.load(stored, desc), Arg.DIFF_DST: diff, Arg.DIFF_SRC: diff})
        assert_near(run.read(diff), g * derivative(x, y))


def test_binary_broadcasts_accumulates_and_reads_scales_at_run_time(run):
    """The momentum step h = rate · g + rate · decay · w + momentum · h is one primitive."""
    g, w, h = normal(100), normal(100, seed=1), normal(100, seed=2)
    desc, one = MemoryDesc.plain((100,)), MemoryDesc.plain((1,))
    attr = Attr([SumOp(0.9)], scales=[Arg.SRC, Arg.SRC_1])
    step = binary(Alg.BINARY_ADD, desc, desc, desc, attr=attr)
    history = run.load(h, desc)
    rates = {
        scale_arg(Arg.SRC): Memory(one, np.array([0.1], np.float32)),
        scale_arg(Arg.SRC_1): Memory(one, np.array([0.02], np.float32)),
    }
    arguments = {Arg.SRC: run.load(g, desc), Arg.SRC_1: run.load(w, desc), Arg.DST: history}
    run.execute(step, arguments | rates)
    assert_near(history.flat, 0.1 * g + 0.02 * w + 0.9 * h)
    rates[scale_arg(Arg.SRC)].flat[:] = 0
    run.execute(step, arguments | rates)
    assert_near(history.flat, 0.02 * w + 0.9 * (0.1 * g + 0.02 * w + 0.9 * h))

    a, b = normal(2, 3, 4), normal(1, 3, 1)
    product = binary(Alg.BINARY_MUL, *(MemoryDesc.plain(s.shape) for s in (a, b, a)))
    out = run(product, {Arg.SRC: a, Arg.SRC_1: b}, Arg.DST)
    assert_near(run.read(out[Arg.DST]), a * b)


def test_weighted_sum_concat_and_reduction_match_numpy(run):
    xs = [normal(2, channels, 3, 3, seed=channels) for channels in (3, 16, 5)]
    same = [normal(4, 5, seed=i) for i in range(3)]
    total = weighted_sum([MemoryDesc.plain((4, 5))] * 3, [1.0, -2.0, 0.5])
    out = run(total, {source_arg(i): x for i, x in enumerate(same)}, Arg.DST)
    assert_near(run.read(out[Arg.DST]), same[0] - 2 * same[1] + 0.5 * same[2])

    joined = concat([MemoryDesc.plain(x.shape) for x in xs], 1)
    out = run(joined, {source_arg(i): x for i, x in enumerate(xs)}, Arg.DST)
    assert np.array_equal(run.read(out[Arg.DST]), np.concatenate(xs, 1))

    over = reduction(Alg.REDUCTION_SUM, MemoryDesc.plain((4, 5)), MemoryDesc.plain((1, 5)))
    out = run(over, {Arg.SRC: same[0]}, Arg.DST)
    assert_near(run.read(out[Arg.DST]), same[0].sum(0, keepdims=True))


@pytest.mark.parametrize("shape", [(3, 10), (2, 5, 3, 3)], ids=["flat", "spatial"])
def test_inner_product_and_its_gradients_match_numpy(run, shape):
    x, w, b = normal(*shape), normal(7, *shape[1:], seed=1), normal(7, seed=2)
    flat_x, flat_w = x.reshape(shape[0], -1), w.reshape(7, -1)
    dx, dw, db, dy = (MemoryDesc.any(s) for s in (shape, w.shape, (7,), (shape[0], 7)))
    forward = inner_product_forward(dx, dw, db, dy)
    out = run(forward, {Arg.SRC: x, Arg.WEIGHTS: w, Arg.BIAS: b}, Arg.DST)
    assert_near(run.read(out[Arg.DST]), flat_x @ flat_w.T + b)
    g = normal(shape[0], 7, seed=3)
    back = inner_product_backward_data(dx, dw, dy, forward)
    out = run(back, {Arg.WEIGHTS: w, Arg.DIFF_DST: g}, Arg.DIFF_SRC)
    assert_near(run.read(out[Arg.DIFF_SRC]), (g @ flat_w).reshape(shape))
    back = inner_product_backward_weights(dx, dw, db, dy, forward)
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g}, Arg.DIFF_WEIGHTS, Arg.DIFF_BIAS)
    assert_near(run.read(out[Arg.DIFF_WEIGHTS]), (g.T @ flat_x).reshape(w.shape))
    assert_near(run.read(out[Arg.DIFF_BIAS]), g.sum(0))


def test_matmul_accepts_a_transposed_operand_and_a_bias(run):
    a, b, bias = normal(4, 5), normal(6, 5, seed=1), normal(1, 6, seed=2)
    transposed = MemoryDesc.strided((5, 6), (1, 5))
    plain = [MemoryDesc.plain(dims) for dims in ((4, 5), (1, 6), (4, 6))]
    product = matmul(plain[0], transposed, *plain[1:])
    weights = Memory(transposed, b)
    out = run(product, {Arg.SRC: a, Arg.WEIGHTS: weights, Arg.BIAS: bias}, Arg.DST)
    assert_near(run.read(out[Arg.DST]), a @ b.T + bias)


def test_prepared_calls_follow_the_growing_scratchpad(run):
    small, large = ((2, 3, 9, 9), 5), ((2, 16, 20, 20), 32)
    results = []
    for (shape, outputs), seed in ((small, 0), (large, 1)):
        x, w = normal(*shape, seed=seed), normal(outputs, shape[1], 3, 3, seed=seed)
        y = reference_convolution(x, w, (1, 1), (1, 1), (1, 1), 1)
        window = Window((1, 1), (1, 1), (1, 1))
        dx, dw, dy = (MemoryDesc.any(a.shape) for a in (x, w, y))
        forward = convolution.forward(dx, dw, None, dy, window)
        back = convolution.backward_weights(dx, dw, None, dy, window, forward)
        g = normal(*y.shape, seed=9)
        gradient = Memory(back.diff_weights)
        inputs = {Arg.SRC: run.load(x, back.src), Arg.DIFF_DST: run.load(g, back.diff_dst)}
        arguments = inputs | {Arg.DIFF_WEIGHTS: gradient}
        call = back.build().prepare(run.stream, arguments | run.scratch.argument(back))
        _, expected = reference_convolution_gradients(x, w, g, (1, 1), (1, 1), (1, 1), 1)
        results.append((call, gradient, expected))
    for call, gradient, expected in results:
        call()
        assert_near(run.read(gradient), expected)


def test_threads_with_separate_streams_do_not_interfere(run):
    x = normal(2, 16, 8, 8)
    wrong = []

    def work(seed):
        runner = type(run)()
        w = normal(16, 16, 3, 3, seed=seed)
        expected = reference_convolution(x, w, (1, 1), (1, 1), (1, 1), 1)
        dx, dw = MemoryDesc.any(x.shape), MemoryDesc.any(w.shape)
        window = Window((1, 1), (1, 1), (1, 1))
        forward = convolution.forward(dx, dw, None, dx, window)
        for _ in range(20):
            out = runner(forward, {Arg.SRC: x, Arg.WEIGHTS: w}, Arg.DST)
            if np.abs(runner.read(out[Arg.DST]) - expected).max() > 0.01:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
