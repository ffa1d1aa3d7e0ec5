"""The bindings: the library, memory descriptors, memory, and prepared calls."""

import numpy as np
import pytest

from cafx.kernel import CafxError
from cafx_engine_onednn import threads
from cafx_engine_onednn.api import library
from cafx_engine_onednn.api.constants import Alg, Arg, DataType, Tag
from cafx_engine_onednn.api.library import DnnlError, failure, load, unavailable
from cafx_engine_onednn.api.memory import Memory, MemoryDesc
from cafx_engine_onednn.api.pointwise import eltwise_forward, reorder
from cafx_engine_onednn.api.primitives import CallSequence
from cafx_engine_onednn.api.windowed import Window, convolution

REASON = unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def test_the_library_has_version_3_and_a_known_instruction_set():
    assert load().version[0] == 3
    assert load().isa > 0


def test_the_error_of_an_invalid_primitive_names_it_and_its_shapes():
    desc = MemoryDesc.any((2, 3, 4, 4))
    wrong = MemoryDesc.any((2, 5, 9, 9))
    weights = MemoryDesc.any((5, 3, 3, 3))
    with pytest.raises(DnnlError, match=r"convolution forward of 2x3x4x4 f32 any.*5x3x3x3"):
        convolution.forward(desc, weights, None, wrong, Window((1, 1), (0, 0), (0, 0)))


def test_the_error_of_a_missing_library_lists_every_path_tried(monkeypatch):
    monkeypatch.setattr(library, "candidates", lambda: iter(["/nowhere/libdnnl.so.3"]))
    monkeypatch.setattr(library, "_load", library._load.__wrapped__)
    assert "/nowhere/libdnnl.so.3" in library.unavailable()


def test_a_failed_library_call_is_a_cafx_error_in_words():
    error = failure("convolution forward of 2x3", "primitive_execute", 1)
    assert isinstance(error, CafxError)
    assert "convolution forward of 2x3" in str(error)
    assert "out of memory" in str(error)


def test_the_number_of_threads_is_set_and_read_back():
    before = threads.get_threads()
    try:
        threads.set_threads(1)
        assert threads.get_threads() == 1
    finally:
        threads.set_threads(before)
    with pytest.raises(ValueError, match="got 0, expected at least 1"):
        threads.set_threads(0)


def test_a_descriptor_reports_shape_type_and_layout():
    plain = MemoryDesc.plain((2, 3, 4, 5))
    assert plain.dims == (2, 3, 4, 5)
    assert plain.strides == (60, 20, 5, 1)
    assert plain.dtype == DataType.F32
    assert plain.size == 2 * 3 * 4 * 5 * 4
    assert plain.layout == "abcd"
    assert plain == MemoryDesc.tagged((2, 3, 4, 5), Tag.ABCD)
    last = MemoryDesc.channels_last((2, 3, 4, 5))
    assert last.strides == (60, 1, 15, 3)
    assert last.layout == "acdb"
    assert MemoryDesc.any((2, 3)).layout == "any"
    assert MemoryDesc.plain((2, 3), DataType.BF16).size == 12


def test_a_blocked_descriptor_reports_blocks_and_padding():
    desc = MemoryDesc.tagged((2, 20, 3, 3), Tag.X2_16B)
    assert desc.blocks == ((1, 16),)
    assert desc.padded_dims == (2, 32, 3, 3)
    assert desc.layout == "aBcd16b"
    assert desc.size == 2 * 32 * 9 * 4


def test_a_part_of_a_descriptor_addresses_some_of_its_memory(run):
    whole = Memory(MemoryDesc.plain((2, 6, 3)))
    part = whole.desc.part((2, 4, 3), (0, 2, 0))
    x = normal(2, 4, 3)
    run.execute(
        reorder(MemoryDesc.plain(x.shape), part),
        {Arg.SRC: run.load(x, MemoryDesc.plain(x.shape)), Arg.DST: Memory(part, whole.array)},
    )
    assert np.array_equal(whole.flat.reshape(2, 6, 3)[:, 2:], x)
    assert not whole.flat.reshape(2, 6, 3)[:, :2].any()


def test_prepared_calls_follow_rebound_memory(run):
    desc = MemoryDesc.plain((4,))
    x, y = Memory(desc, normal(4)), Memory(desc)
    relu = eltwise_forward(Alg.RELU, desc, desc)
    call = relu.build().prepare(run.stream, {Arg.SRC: x, Arg.DST: y})
    call()
    assert np.array_equal(y.flat, np.maximum(x.flat, 0))
    other = normal(4, seed=1)
    x.rebind(other)
    call()
    assert np.array_equal(y.flat, np.maximum(other, 0))


def test_memory_refuses_small_and_noncontiguous_arrays():
    desc = MemoryDesc.plain((4,))
    with pytest.raises(ValueError, match="got 12 contiguous bytes, expected 16 contiguous bytes"):
        Memory(desc, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="got 16 non-contiguous bytes"):
        Memory(desc, np.zeros(8, np.float32)[::2])


@pytest.mark.parametrize("dims", [(0, 3, 4, 4), (1, 1), (2, 17, 5, 3)])
def test_reordering_twice_restores_every_value(run, dims):
    x = normal(*dims)
    target = MemoryDesc.tagged(dims, Tag.X2_16B if len(dims) == 4 else Tag.AB)
    assert np.array_equal(run.read(run.load(x, target)), x)


def test_a_reorder_to_bfloat16_rounds_to_nearest_even(run):
    x = normal(1000)
    half = run.load(x, MemoryDesc.plain(x.shape, DataType.BF16))
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    assert np.array_equal(half.flat, rounded.astype(np.uint16))


def test_next_visits_every_implementation_of_a_backward_primitive():
    small, large = MemoryDesc.channels_last((1, 21, 4, 4)), MemoryDesc.channels_last((1, 21, 12, 12))
    weights, window = MemoryDesc.any((21, 1, 1, 3, 3)), Window((3, 3), (0, 0), (0, 0))
    back = convolution.backward_data(
        large, weights, small, window, convolution.forward(large, weights, None, small, window)
    )
    implementations = [back.implementation]
    while back.next():
        implementations.append(back.implementation)
    assert len(set(implementations)) == len(implementations) > 1
    assert implementations[-1].startswith("ref")


def test_a_call_sequence_runs_its_calls_in_order(run):
    desc = MemoryDesc.plain((3,))
    x = run.load(np.array([-1, 0, 2], np.float32), desc)
    affine = eltwise_forward(Alg.LINEAR, desc, desc, 2.0, 1.0).build()
    relu = eltwise_forward(Alg.RELU, desc, desc).build()
    in_place = {Arg.SRC: x, Arg.DST: x}
    CallSequence([p.prepare(run.stream, in_place) for p in (affine, relu, affine)])()
    assert x.flat.tolist() == [1, 3, 11]


def test_the_error_of_a_call_sequence_names_the_failed_call(run):
    desc = MemoryDesc.plain((3,))
    x = Memory(desc)
    relu = eltwise_forward(Alg.RELU, desc, desc).build()
    good = relu.prepare(run.stream, {Arg.SRC: x, Arg.DST: x})
    bad = relu.prepare(run.stream, {Arg.SRC: x})
    with pytest.raises(DnnlError, match="relu forward of 3 f32 a: invalid arguments"):
        CallSequence([good, bad])()
