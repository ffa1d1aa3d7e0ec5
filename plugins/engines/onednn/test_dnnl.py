"""Each oneDNN primitive against the same computation in plain numpy."""

import itertools
import threading

import numpy as np
import pytest

from cafx_engine_onednn import api as dnnl
from cafx_engine_onednn import threads
from cafx_engine_onednn.api import Alg, Arg, Attr, DataType, Memory, MemoryDesc, Norm, Window

REASON = dnnl.unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

# Sums of up to a few hundred products of unit normals, added in another order than numpy's.
TOLERANCE = 2e-4
# bfloat16 keeps 8 bits: half a unit in the last place of the inputs, once per product.
BF16_TOLERANCE = 3e-2


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def close(found, wanted, tolerance=TOLERANCE):
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)


class Runner:
    """Runs primitives on plain arrays, with reorders to and from the layouts they choose."""

    def __init__(self):
        self.stream = dnnl.Stream()
        self.scratch = dnnl.Scratchpad()

    def execute(self, primitive, arguments):
        arguments = arguments | self.scratch.argument(primitive)
        primitive.build().prepare(self.stream, arguments)()

    def load(self, array, desc):
        plain = Memory(MemoryDesc.plain(array.shape), np.ascontiguousarray(array, np.float32))
        if desc.dims != array.shape:
            raise AssertionError(f"{desc!r} for an array of shape {array.shape}")
        memory = Memory(desc)
        self.execute(dnnl.reorder(plain.desc, desc), {Arg.SRC: plain, Arg.DST: memory})
        return memory

    def read(self, memory):
        plain = Memory(MemoryDesc.plain(memory.desc.dims))
        self.execute(dnnl.reorder(memory.desc, plain.desc), {Arg.SRC: memory, Arg.DST: plain})
        return plain.flat.reshape(memory.desc.dims)

    def __call__(self, primitive, inputs, *outputs):
        """Inputs: role to array or memory. Returns the outputs as memory objects by role."""
        arguments = {
            arg: value if isinstance(value, Memory) else self.load(value, primitive.argument(arg))
            for arg, value in inputs.items()
        }
        results = {arg: Memory(primitive.argument(arg)) for arg in outputs}
        self.execute(primitive, arguments | results)
        return results


@pytest.fixture
def run():
    return Runner()


def test_version_is_three_and_there_is_an_instruction_set():
    library = dnnl.load()
    assert library.version[0] == 3
    assert library.isa > 0


def test_a_refused_primitive_names_itself_and_its_shapes():
    desc = MemoryDesc.any((2, 3, 4, 4))
    wrong = MemoryDesc.any((2, 5, 9, 9))
    weights = MemoryDesc.any((5, 3, 3, 3))
    with pytest.raises(dnnl.DnnlError, match=r"convolution forward of 2x3x4x4 f32 any.*5x3x3x3"):
        dnnl.convolution.forward(desc, weights, None, wrong, Window((1, 1), (0, 0), (0, 0)))


def test_a_missing_library_is_reported_with_every_place_tried(monkeypatch):
    from cafx_engine_onednn.api import library

    monkeypatch.setattr(library, "candidates", lambda: iter(["/nowhere/libdnnl.so.3"]))
    monkeypatch.setattr(library, "_load", library._load.__wrapped__)
    assert "/nowhere/libdnnl.so.3" in library.unavailable()


def test_threads_are_set_and_read_back():
    before = threads.get_threads()
    try:
        threads.set_threads(1)
        assert threads.get_threads() == 1
    finally:
        threads.set_threads(before)
    with pytest.raises(ValueError, match="got 0, expected at least 1"):
        threads.set_threads(0)


def test_descriptors_answer_for_their_shape_type_and_layout():
    plain = MemoryDesc.plain((2, 3, 4, 5))
    assert plain.dims == (2, 3, 4, 5)
    assert plain.strides == (60, 20, 5, 1)
    assert plain.dtype == DataType.F32
    assert plain.size == 2 * 3 * 4 * 5 * 4
    assert plain.is_plain
    assert plain.layout == "abcd"
    assert plain == MemoryDesc.tagged((2, 3, 4, 5), dnnl.Tag.ABCD)
    last = MemoryDesc.channels_last((2, 3, 4, 5))
    assert last.strides == (60, 1, 15, 3)
    assert last.layout == "acdb"
    assert not last.is_plain
    assert MemoryDesc.any((2, 3)).layout == "any"
    assert MemoryDesc.plain((2, 3), DataType.BF16).size == 12


def test_blocked_layouts_show_their_blocks_and_padding():
    desc = MemoryDesc.tagged((2, 20, 3, 3), dnnl.Tag.X2_16B)
    assert desc.blocks == ((1, 16),)
    assert desc.padded_dims == (2, 32, 3, 3)
    assert desc.layout == "aBcd16b"
    assert desc.size == 2 * 32 * 9 * 4


def test_windows_reshapes_and_permutations_of_a_descriptor(run):
    whole = Memory(MemoryDesc.plain((2, 6, 3)))
    part = whole.desc.part((2, 4, 3), (0, 2, 0))
    x = normal(2, 4, 3)
    run.execute(
        dnnl.reorder(MemoryDesc.plain(x.shape), part),
        {Arg.SRC: run.load(x, MemoryDesc.plain(x.shape)), Arg.DST: Memory(part, whole.array)},
    )
    assert np.array_equal(whole.flat.reshape(2, 6, 3)[:, 2:], x)
    assert not whole.flat.reshape(2, 6, 3)[:, :2].any()
    assert whole.desc.reshape((2, 18)).dims == (2, 18)
    assert whole.desc.permute((0, 2, 1)).strides == (18, 1, 3)


def test_memory_follows_a_rebind_in_prepared_calls(run):
    desc = MemoryDesc.plain((4,))
    x, y = Memory(desc, normal(4)), Memory(desc)
    relu = dnnl.eltwise_forward(Alg.RELU, desc, desc)
    call = relu.build().prepare(run.stream, {Arg.SRC: x, Arg.DST: y})
    call()
    assert np.array_equal(y.flat, np.maximum(x.flat, 0))
    other = normal(4, seed=1)
    x.rebind(other)
    call()
    assert np.array_equal(y.flat, np.maximum(other, 0))


def test_memory_refuses_too_few_bytes_and_gaps():
    desc = MemoryDesc.plain((4,))
    with pytest.raises(ValueError, match="got 12 contiguous bytes, expected 16 contiguous bytes"):
        Memory(desc, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="got 16 non-contiguous bytes"):
        Memory(desc, np.zeros(8, np.float32)[::2])


@pytest.mark.parametrize("dims", [(0, 3, 4, 4), (1, 1), (2, 17, 5, 3)])
def test_reorder_there_and_back_keeps_every_value(run, dims):
    x = normal(*dims)
    target = MemoryDesc.tagged(dims, dnnl.Tag.X2_16B if len(dims) == 4 else dnnl.Tag.AB)
    assert np.array_equal(run.read(run.load(x, target)), x)


def test_bf16_reorder_rounds_to_nearest_even(run):
    x = normal(1000)
    half = run.load(x, MemoryDesc.plain(x.shape, DataType.BF16))
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    assert np.array_equal(half.flat, rounded.astype(np.uint16))


def taps(spatial, kernel, stride, pad, dilation):
    """For each kernel offset: what it reads of the padded input, and the output extents."""
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
        seen = grouped(p[(slice(None), slice(None), *reads)], groups, 1)
        tap = grouped(w[(slice(None), slice(None), *offset)], groups, 0)
        y = y + np.einsum("ngi...,goi->ngo...", seen, tap)
    return y.reshape(y.shape[0], -1, *y.shape[3:])


def reference_convolution_gradients(x, w, g, stride, pad, dilation, groups):
    p = padded(x, pad)
    dp, dw = np.zeros_like(p), np.zeros_like(w)
    gg = grouped(g, groups, 1)
    for offset, reads, _ in taps(x.shape[2:], w.shape[2:], stride, pad, dilation):
        where = (slice(None), slice(None), *reads)
        tap = grouped(w[(slice(None), slice(None), *offset)], groups, 0)
        back = np.einsum("ngo...,goi->ngi...", gg, tap)
        dp[where] += back.reshape(dp[where].shape)
        seen = grouped(p[where], groups, 1)
        flat_g, flat_x = gg.reshape(*gg.shape[:3], -1), seen.reshape(*seen.shape[:3], -1)
        dw[(slice(None), slice(None), *offset)] = np.einsum("ngot,ngit->goi", flat_g, flat_x).reshape(dw.shape[:2])
    inside = tuple(slice(q, q + n) for q, n in zip(pad, x.shape[2:], strict=True))
    return dp[(slice(None), slice(None), *inside)], dw


# shape of x, outputs, kernel, stride, pad, dilation, groups
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


def window_of(x_dims, y_dims, kernel, stride, pad, dilation):
    end = [
        (o - 1) * s + d * (k - 1) + 1 - n - p
        for n, o, k, s, p, d in zip(x_dims[2:], y_dims[2:], kernel, stride, pad, dilation, strict=True)
    ]
    return Window(stride, pad, end, dilation)


@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_and_its_gradients(run, case):
    x_dims, outputs, kernel, stride, pad, dilation, groups = case
    x, w = normal(*x_dims), normal(outputs, x_dims[1] // groups, *kernel, seed=1)
    b = normal(outputs, seed=2)
    y = reference_convolution(x, w, stride, pad, dilation, groups)
    window = window_of(x_dims, y.shape, kernel, stride, pad, dilation)
    wg = grouped(w, groups, 0) if groups > 1 else w
    dx, dy, dw, db = (MemoryDesc.any(a.shape) for a in (x, y, wg, b))
    conv = dnnl.convolution

    forward = conv.forward(dx, dw, db, dy, window)
    out = run(forward, {Arg.SRC: x, Arg.WEIGHTS: wg, Arg.BIAS: b}, Arg.DST)
    close(run.read(out[Arg.DST]), y + b.reshape(-1, *[1] * len(kernel)))

    g = normal(*y.shape, seed=3)
    gx, gw = reference_convolution_gradients(x, w, g, stride, pad, dilation, groups)
    back = conv.backward_data(dx, dw, dy, window, forward)
    out = run(back, {Arg.DIFF_DST: g, Arg.WEIGHTS: wg}, Arg.DIFF_SRC)
    close(run.read(out[Arg.DIFF_SRC]), gx)

    back = conv.backward_weights(dx, dw, db, dy, window, forward)
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g}, Arg.DIFF_WEIGHTS, Arg.DIFF_BIAS)
    close(run.read(out[Arg.DIFF_WEIGHTS]).reshape(w.shape), gw)
    close(run.read(out[Arg.DIFF_BIAS]), g.sum(axis=(0, *range(2, g.ndim))))


def test_convolution_with_post_ops_sum_relu_and_binary(run):
    x, w, old, other = (normal(2, 3, 6, 6), normal(4, 3, 3, 3), normal(2, 4, 4, 4), normal(1, 4, 1, 1))
    window = Window((1, 1), (0, 0), (0, 0))
    dx, dw = MemoryDesc.any(x.shape), MemoryDesc.any(w.shape)
    ops = [dnnl.SumOp(0.5), dnnl.EltwiseOp(Alg.RELU), dnnl.BinaryOp(Alg.BINARY_MUL, MemoryDesc.plain(other.shape))]
    dy = MemoryDesc.any(old.shape)
    forward = dnnl.convolution.forward(dx, dw, None, dy, window, training=False, attr=Attr(ops))
    dst = run.load(old, forward.dst)
    scale = run.load(other, MemoryDesc.plain(other.shape))
    run(forward, {Arg.SRC: x, Arg.WEIGHTS: w, Arg.DST: dst, dnnl.post_op_arg(2): scale})
    y = reference_convolution(x, w, (1, 1), (0, 0), (1, 1), 1)
    close(run.read(dst), np.maximum(y + 0.5 * old, 0) * other)


@pytest.mark.skipif(not (REASON or dnnl.load().has_bf16), reason="no AVX512-BF16 here")
def test_convolution_in_bf16_with_float32_gradients_of_the_weights(run):
    x, w = normal(2, 32, 6, 6), normal(32, 32, 3, 3, seed=1) / 17
    window = Window((1, 1), (1, 1), (1, 1))
    half = [MemoryDesc.any(a.shape, DataType.BF16) for a in (x, w, x)]
    forward = dnnl.convolution.forward(half[0], half[1], None, half[2], window)
    out = run(forward, {Arg.SRC: x, Arg.WEIGHTS: w}, Arg.DST)
    close(run.read(out[Arg.DST]), reference_convolution(x, w, (1, 1), (1, 1), (1, 1), 1), BF16_TOLERANCE)
    g = normal(*x.shape, seed=3)
    full = MemoryDesc.any(w.shape)
    back = dnnl.convolution.backward_weights(half[0], full, None, half[2], window, forward)
    assert back.diff_weights.dtype == DataType.F32
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g}, Arg.DIFF_WEIGHTS)
    _, gw = reference_convolution_gradients(x, w, g, (1, 1), (1, 1), (1, 1), 1)
    close(run.read(out[Arg.DIFF_WEIGHTS]), gw, BF16_TOLERANCE)


@pytest.mark.parametrize("groups", [1, 2])
def test_deconvolution_is_the_gradient_of_convolution(run, groups):
    x, w = normal(2, 6, 4, 5), normal(6, 4 // groups, 3, 3, seed=1)  # Caffe: in, out/groups
    stride, pad, dilation = (2, 2), (1, 1), (1, 1)
    y = np.zeros((2, 4, 7, 9), np.float32)
    y, _ = reference_convolution_gradients(y, w, x, stride, pad, dilation, groups)
    wg = grouped(w, groups, 0) if groups > 1 else w
    swapped = np.ascontiguousarray(wg.swapaxes(groups > 1, (groups > 1) + 1))
    dx, dw, dy = (MemoryDesc.any(a.shape) for a in (x, swapped, y))
    window = Window(stride, pad, pad)
    deconv = dnnl.deconvolution
    forward = deconv.forward(dx, dw, None, dy, window)
    out = run(forward, {Arg.SRC: x, Arg.WEIGHTS: swapped}, Arg.DST)
    close(run.read(out[Arg.DST]), y)

    g = normal(*y.shape, seed=3)
    back = deconv.backward_data(dx, dw, dy, window, forward)
    out = run(back, {Arg.DIFF_DST: g, Arg.WEIGHTS: swapped}, Arg.DIFF_SRC)
    close(run.read(out[Arg.DIFF_SRC]), reference_convolution(g, w, stride, pad, dilation, groups))
    back = deconv.backward_weights(dx, dw, None, dy, window, forward)
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g}, Arg.DIFF_WEIGHTS)
    _, gw = reference_convolution_gradients(g, w, x, stride, pad, dilation, groups)
    found = run.read(out[Arg.DIFF_WEIGHTS]).swapaxes(groups > 1, (groups > 1) + 1)
    close(found.reshape(w.shape), gw)


@pytest.mark.parametrize("alg", [Alg.POOLING_MAX, Alg.POOLING_AVG_INCLUDE_PADDING,
                                 Alg.POOLING_AVG_EXCLUDE_PADDING])  # fmt: skip
@pytest.mark.parametrize("tag", [dnnl.Tag.ABCD, dnnl.Tag.X2_16B], ids=["plain", "blocked"])
def test_pooling_and_its_gradient(run, alg, tag):
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
    forward = dnnl.pooling_forward(alg, dx, dy, window)
    extra = (Arg.WORKSPACE,) if forward.workspace.size else ()
    assert bool(extra) == (alg == Alg.POOLING_MAX)
    out = run(forward, {Arg.SRC: x}, Arg.DST, *extra)
    close(run.read(out[Arg.DST]), y)
    back = dnnl.pooling_backward(alg, dx, forward.dst, window, forward)
    out = run(back, {Arg.DIFF_DST: g} | {arg: out[arg] for arg in extra}, Arg.DIFF_SRC)
    close(run.read(out[Arg.DIFF_SRC]), gp[:, :, 1:-1])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# alpha, function, derivative by input and output, form that takes the output
ELTWISE = {
    Alg.RELU: (0.0, lambda x: np.maximum(x, 0), lambda x, y: x > 0, Alg.RELU_DST),
    Alg.TANH: (0.0, np.tanh, lambda x, y: 1 - y * y, Alg.TANH_DST),
    Alg.LOGISTIC: (0.0, sigmoid, lambda x, y: y * (1 - y), Alg.LOGISTIC_DST),
    Alg.ELU: (0.7, lambda x: np.where(x > 0, x, 0.7 * np.expm1(x)),
              lambda x, y: np.where(x > 0, 1, y + 0.7), Alg.ELU_DST),
    Alg.EXP: (0.0, np.exp, lambda x, y: y, Alg.EXP_DST),
    Alg.SOFT_RELU: (1.0, lambda x: np.log1p(np.exp(x)), lambda x, y: sigmoid(x), None),
    Alg.ABS: (0.0, np.abs, lambda x, y: np.sign(x), None),
    Alg.SQUARE: (0.0, np.square, lambda x, y: 2 * x, None),
}  # fmt: skip


@pytest.mark.parametrize("alg", ELTWISE, ids=lambda a: a.name)
def test_eltwise_and_its_gradient_in_place(run, alg):
    alpha, function, derivative, from_output = ELTWISE[alg]
    x, g = normal(3, 17), normal(3, 17, seed=1)
    desc = MemoryDesc.plain(x.shape)
    y = function(x)
    forward = dnnl.eltwise_forward(alg, desc, desc, alpha)
    memory = run.load(x, desc)
    run(forward, {Arg.SRC: memory, Arg.DST: memory})
    close(run.read(memory), y)
    for form, kept, role in ((alg, x, Arg.SRC), (from_output, y, Arg.DST)):
        if form is None:
            continue
        back = dnnl.eltwise_backward(form, desc, desc, desc, forward, alpha)
        diff = run.load(g, desc)
        run(back, {role: run.load(kept, desc), Arg.DIFF_DST: diff, Arg.DIFF_SRC: diff})
        close(run.read(diff), g * derivative(x, y))


def test_binary_broadcasts_scales_at_run_time_and_accumulates(run):
    """The momentum step h = rate g + rate decay w + momentum h is one primitive."""
    g, w, h = normal(100), normal(100, seed=1), normal(100, seed=2)
    desc, one = MemoryDesc.plain((100,)), MemoryDesc.plain((1,))
    attr = Attr([dnnl.SumOp(0.9)], scales=[Arg.SRC, Arg.SRC_1])
    step = dnnl.binary(Alg.BINARY_ADD, desc, desc, desc, attr=attr)
    history = run.load(h, desc)
    rates = {
        dnnl.scale_arg(Arg.SRC): Memory(one, np.array([0.1], np.float32)),
        dnnl.scale_arg(Arg.SRC_1): Memory(one, np.array([0.02], np.float32)),
    }
    arguments = {Arg.SRC: run.load(g, desc), Arg.SRC_1: run.load(w, desc), Arg.DST: history}
    run.execute(step, arguments | rates)
    close(history.flat, 0.1 * g + 0.02 * w + 0.9 * h)
    rates[dnnl.scale_arg(Arg.SRC)].flat[:] = 0
    run.execute(step, arguments | rates)
    close(history.flat, 0.02 * w + 0.9 * (0.1 * g + 0.02 * w + 0.9 * h))

    a, b = normal(2, 3, 4), normal(1, 3, 1)
    product = dnnl.binary(Alg.BINARY_MUL, *(MemoryDesc.plain(s.shape) for s in (a, b, a)))
    out = run(product, {Arg.SRC: a, Arg.SRC_1: b}, Arg.DST)
    close(run.read(out[Arg.DST]), a * b)


def test_weighted_sum_concat_and_reduction(run):
    xs = [normal(2, channels, 3, 3, seed=channels) for channels in (3, 16, 5)]
    same = [normal(4, 5, seed=i) for i in range(3)]
    total = dnnl.weighted_sum([MemoryDesc.plain((4, 5))] * 3, [1.0, -2.0, 0.5])
    out = run(total, {dnnl.source_arg(i): x for i, x in enumerate(same)}, Arg.DST)
    close(run.read(out[Arg.DST]), same[0] - 2 * same[1] + 0.5 * same[2])

    joined = dnnl.concat([MemoryDesc.plain(x.shape) for x in xs], 1)
    out = run(joined, {dnnl.source_arg(i): x for i, x in enumerate(xs)}, Arg.DST)
    assert np.array_equal(run.read(out[Arg.DST]), np.concatenate(xs, 1))

    over = dnnl.reduction(Alg.REDUCTION_SUM, MemoryDesc.plain((4, 5)), MemoryDesc.plain((1, 5)))
    out = run(over, {Arg.SRC: same[0]}, Arg.DST)
    close(run.read(out[Arg.DST]), same[0].sum(0, keepdims=True))


@pytest.mark.parametrize("tag", [dnnl.Tag.ABCD, dnnl.Tag.X2_16B], ids=["plain", "blocked"])
def test_lrn_across_channels_and_its_gradient(run, tag):
    x, g = normal(2, 16, 3, 4), normal(2, 16, 3, 4, seed=1)
    size, alpha, beta, k = 5, 0.3, 0.75, 1.5
    around = [[j for j in range(i - 2, i + 3) if 0 <= j < 16] for i in range(16)]
    scale = np.stack([k + alpha / size * (x[:, c] ** 2).sum(1) for c in around], 1)
    y = x * scale**-beta
    inner = g * y / scale
    spread = np.stack([inner[:, c].sum(1) for c in around], 1)
    gx = g * scale**-beta - 2 * alpha * beta / size * x * spread

    desc = MemoryDesc.tagged(x.shape, tag)
    options = size, alpha, beta, k
    forward = dnnl.lrn_forward(Alg.LRN_ACROSS_CHANNELS, desc, desc, *options)
    extra = (Arg.WORKSPACE,) if forward.workspace.size else ()
    out = run(forward, {Arg.SRC: x}, Arg.DST, *extra)
    close(run.read(out[Arg.DST]), y)
    back = dnnl.lrn_backward(Alg.LRN_ACROSS_CHANNELS, desc, desc, desc, *options, forward)
    kept = {arg: out[arg] for arg in extra}
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g} | kept, Arg.DIFF_SRC)
    close(run.read(out[Arg.DIFF_SRC]), gx)


@pytest.mark.parametrize("relu", [False, True], ids=["linear", "relu"])
@pytest.mark.parametrize("stats", [False, True], ids=["batch", "global"])
@pytest.mark.parametrize("tag", [dnnl.Tag.ABCD, dnnl.Tag.X2_16B], ids=["plain", "blocked"])
def test_batch_norm_and_its_gradients(run, tag, stats, relu):
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
    forward = dnnl.batch_norm_forward(desc, desc, epsilon, flags)
    inputs = {Arg.SRC: x, Arg.SCALE: scale, Arg.SHIFT: shift}
    outputs = [Arg.DST] + ([Arg.WORKSPACE] if relu else [])
    kept = {Arg.MEAN: mean, Arg.VARIANCE: variance}
    if stats:
        out = run(forward, inputs | kept, *outputs)
    else:
        out = run(forward, inputs, *outputs, *kept)
        close(run.read(out[Arg.MEAN]), mean)
        close(run.read(out[Arg.VARIANCE]), variance)
    close(run.read(out[Arg.DST]), np.maximum(y, 0) if relu else y)

    through = g * (y > 0) if relu else g
    gscale, gshift = (through * hat).sum(axes), through.sum(axes)
    gx = through.copy()
    if not stats:
        gx -= through.mean(axes).reshape(column) + hat * (through * hat).mean(axes).reshape(column)
    gx *= scale.reshape(column) / deviation
    back = dnnl.batch_norm_backward(desc, desc, desc, epsilon, flags, forward)
    inputs = {Arg.SRC: x, Arg.SCALE: scale, Arg.DIFF_DST: g} | kept
    inputs |= {Arg.WORKSPACE: out[Arg.WORKSPACE]} if relu else {}
    out = run(back, inputs, Arg.DIFF_SRC, Arg.DIFF_SCALE, Arg.DIFF_SHIFT)
    close(run.read(out[Arg.DIFF_SRC]), gx)
    close(run.read(out[Arg.DIFF_SCALE]), gscale)
    close(run.read(out[Arg.DIFF_SHIFT]), gshift)


def test_softmax_and_its_gradient(run):
    x, g = normal(3, 7, 2), normal(3, 7, 2, seed=1)
    desc = MemoryDesc.plain(x.shape)
    e = np.exp(x)
    y = e / e.sum(1, keepdims=True)
    forward = dnnl.softmax_forward(desc, desc, 1)
    out = run(forward, {Arg.SRC: x}, Arg.DST)
    close(run.read(out[Arg.DST]), y)
    back = dnnl.softmax_backward(desc, desc, desc, 1, forward)
    out = run(back, {Arg.DST: y, Arg.DIFF_DST: g}, Arg.DIFF_SRC)
    close(run.read(out[Arg.DIFF_SRC]), y * (g - (g * y).sum(1, keepdims=True)))


@pytest.mark.parametrize("shape", [(3, 10), (2, 5, 3, 3)], ids=["flat", "spatial"])
def test_inner_product_and_its_gradients(run, shape):
    x, w, b = normal(*shape), normal(7, *shape[1:], seed=1), normal(7, seed=2)
    flat_x, flat_w = x.reshape(shape[0], -1), w.reshape(7, -1)
    dx, dw, db, dy = (MemoryDesc.any(s) for s in (shape, w.shape, (7,), (shape[0], 7)))
    forward = dnnl.inner_product_forward(dx, dw, db, dy)
    out = run(forward, {Arg.SRC: x, Arg.WEIGHTS: w, Arg.BIAS: b}, Arg.DST)
    close(run.read(out[Arg.DST]), flat_x @ flat_w.T + b)
    g = normal(shape[0], 7, seed=3)
    back = dnnl.inner_product_backward_data(dx, dw, dy, forward)
    out = run(back, {Arg.WEIGHTS: w, Arg.DIFF_DST: g}, Arg.DIFF_SRC)
    close(run.read(out[Arg.DIFF_SRC]), (g @ flat_w).reshape(shape))
    back = dnnl.inner_product_backward_weights(dx, dw, db, dy, forward)
    out = run(back, {Arg.SRC: x, Arg.DIFF_DST: g}, Arg.DIFF_WEIGHTS, Arg.DIFF_BIAS)
    close(run.read(out[Arg.DIFF_WEIGHTS]), (g.T @ flat_x).reshape(w.shape))
    close(run.read(out[Arg.DIFF_BIAS]), g.sum(0))


def test_matmul_with_a_transposed_operand_and_bias(run):
    a, b, bias = normal(4, 5), normal(6, 5, seed=1), normal(1, 6, seed=2)
    transposed = MemoryDesc.strided((5, 6), (1, 5))
    product = dnnl.matmul(MemoryDesc.plain((4, 5)), transposed, MemoryDesc.plain((1, 6)),
                          MemoryDesc.plain((4, 6)))  # fmt: skip
    weights = Memory(transposed, b)
    out = run(product, {Arg.SRC: a, Arg.WEIGHTS: weights, Arg.BIAS: bias}, Arg.DST)
    close(run.read(out[Arg.DST]), a @ b.T + bias)


def test_implementations_are_counted_through_when_nothing_else_holds_the_forward_one():
    small, large = MemoryDesc.channels_last((1, 21, 4, 4)), MemoryDesc.channels_last((1, 21, 12, 12))
    weights, window = MemoryDesc.any((21, 1, 1, 3, 3)), Window((3, 3), (0, 0), (0, 0))
    back = dnnl.convolution.backward_data(
        large, weights, small, window, dnnl.convolution.forward(large, weights, None, small, window)
    )
    found = [back.implementation]
    while back.next():
        found.append(back.implementation)
    assert len(set(found)) == len(found) > 1
    assert found[-1].startswith("ref")


def test_a_program_runs_its_calls_in_order(run):
    desc = MemoryDesc.plain((3,))
    x = run.load(np.array([-1, 0, 2], np.float32), desc)
    affine = dnnl.eltwise_forward(Alg.LINEAR, desc, desc, 2.0, 1.0).build()
    relu = dnnl.eltwise_forward(Alg.RELU, desc, desc).build()
    in_place = {Arg.SRC: x, Arg.DST: x}
    dnnl.CallSequence([p.prepare(run.stream, in_place) for p in (affine, relu, affine)])()
    assert x.flat.tolist() == [1, 3, 11]


def test_a_failing_step_of_a_program_is_named(run):
    desc = MemoryDesc.plain((3,))
    x = Memory(desc)
    relu = dnnl.eltwise_forward(Alg.RELU, desc, desc).build()
    good = relu.prepare(run.stream, {Arg.SRC: x, Arg.DST: x})
    bad = relu.prepare(run.stream, {Arg.SRC: x})
    with pytest.raises(dnnl.DnnlError, match="relu forward of 3 f32 a: invalid arguments"):
        dnnl.CallSequence([good, bad])()


def test_the_shared_scratchpad_grows_under_calls_prepared_before(run):
    small, large = ((2, 3, 9, 9), 5), ((2, 16, 20, 20), 32)
    results = []
    for (shape, outputs), seed in ((small, 0), (large, 1)):
        x, w = normal(*shape, seed=seed), normal(outputs, shape[1], 3, 3, seed=seed)
        y = reference_convolution(x, w, (1, 1), (1, 1), (1, 1), 1)
        window = Window((1, 1), (1, 1), (1, 1))
        dx, dw, dy = (MemoryDesc.any(a.shape) for a in (x, w, y))
        forward = dnnl.convolution.forward(dx, dw, None, dy, window)
        back = dnnl.convolution.backward_weights(dx, dw, None, dy, window, forward)
        g = normal(*y.shape, seed=9)
        found = Memory(back.diff_weights)
        arguments = {Arg.SRC: run.load(x, back.src), Arg.DIFF_DST: run.load(g, back.diff_dst),
                     Arg.DIFF_WEIGHTS: found}  # fmt: skip
        call = back.build().prepare(run.stream, arguments | run.scratch.argument(back))
        _, wanted = reference_convolution_gradients(x, w, g, (1, 1), (1, 1), (1, 1), 1)
        results.append((call, found, wanted))
    for call, found, wanted in results:
        call()
        close(run.read(found), wanted)


def test_threads_each_with_a_stream_of_their_own():
    x = normal(2, 16, 8, 8)
    wrong = []

    def work(seed):
        runner = Runner()
        w = normal(16, 16, 3, 3, seed=seed)
        wanted = reference_convolution(x, w, (1, 1), (1, 1), (1, 1), 1)
        dx, dw = MemoryDesc.any(x.shape), MemoryDesc.any(w.shape)
        window = Window((1, 1), (1, 1), (1, 1))
        forward = dnnl.convolution.forward(dx, dw, None, dx, window)
        for _ in range(20):
            out = runner(forward, {Arg.SRC: x, Arg.WEIGHTS: w}, Arg.DST)
            if np.abs(runner.read(out[Arg.DST]) - wanted).max() > 0.01:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
