"""Memory planning, sharing and the arena."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.kernel import TEST, TRAIN, Blob, Net, schema
from cafx.kernel.net import Arena, Life, aligned, plan

LIVES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 10), st.integers(1, 1000)).map(
        lambda drawn: Life(drawn[0], drawn[0] + drawn[1], drawn[2])
    ),
    max_size=30,
)


@settings(deadline=None)
@given(LIVES)
def test_no_two_arrays_alive_at_once_overlap(lives: list[Life]) -> None:
    planned = plan(lives)
    for i, one in enumerate(lives):
        for j, two in enumerate(lives[:i]):
            if one.first <= two.last and two.first <= one.last:
                a, b = planned.offsets[i], planned.offsets[j]
                assert a + one.nbytes <= b or b + two.nbytes <= a
    assert planned.pool <= sum(aligned(life.nbytes) for life in lives)
    assert planned.alone == sum(life.nbytes for life in lives)


def test_a_chain_needs_two_buffers() -> None:
    assert plan([Life(i, i + 1, 640) for i in range(10)]).pool == 2 * 640


CHAIN = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 8 dim: 64 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "h1" inner_product_param { num_output: 64 } }
layer { name: "ip2" type: "InnerProduct" bottom: "h1" top: "h2" inner_product_param { num_output: 64 } }
layer { name: "ip3" type: "InnerProduct" bottom: "h2" top: "h3" inner_product_param { num_output: 64 } }
layer { name: "ip4" type: "InnerProduct" bottom: "h3" top: "y" inner_product_param { num_output: 3 } }
force_backward: true
"""


def chain(phase: object, keep: object) -> Net:
    net = Net(schema().parse_text(CHAIN, "NetParameter"), phase, engine="numpy", seed=1, keep=keep)  # type: ignore[arg-type]
    for index, blobs in enumerate(net.params.values()):
        for blob in blobs:
            blob.set_data(np.random.default_rng(index).standard_normal(blob.shape))
    return net


def test_activations_share_memory_in_test_phase_and_the_result_is_the_same() -> None:
    whole, shared = chain(TEST, "all"), chain(TEST, "outputs")
    x = np.random.default_rng(3).standard_normal((8, 64))
    np.testing.assert_array_equal(shared.forward(x=x)["y"], whole.forward(x=x)["y"])
    assert shared.memory.pool < shared.memory.alone
    assert np.shares_memory(shared.blobs["h1"].data, shared.blobs["h3"].data)
    assert not np.shares_memory(shared.blobs["h1"].data, shared.blobs["h2"].data)
    bigger = np.random.default_rng(4).standard_normal((20, 64))
    np.testing.assert_array_equal(shared.forward(x=bigger)["y"], whole.forward(x=bigger)["y"])


def test_gradients_share_memory_in_train_phase_and_the_result_is_the_same() -> None:
    whole, shared = chain(TRAIN, "all"), chain(TRAIN, "outputs")
    x, dy = np.random.default_rng(3).standard_normal((8, 64)), np.ones((8, 3))
    results = []
    for net in (whole, shared):
        net.forward(x=x)
        net.clear_param_diffs()
        results.append([net.backward(y=dy)["x"], *(blobs[0].diff.copy() for blobs in net.params.values())])
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    assert shared.memory.pool < shared.memory.alone
    assert np.shares_memory(shared.blobs["h1"].diff, shared.blobs["h3"].diff)


def test_the_arena_is_the_parameters_memory() -> None:
    blobs = [Blob((2, 3), name="w"), Blob((3,), name="b"), Blob((4,), name="v")]
    for index, blob in enumerate(blobs):
        blob.mutable_data[...] = index + 1
    arena = Arena(blobs, [1.0, 2.0, 1.0], [1.0, 0.0, 1.0], [None] * 3)
    assert [blob.data.reshape(-1)[0] for blob in blobs] == [1, 2, 3]
    arena.data *= 10
    assert [blob.data.reshape(-1)[0] for blob in blobs] == [10, 20, 30]
    blobs[1].mutable_diff[...] = 5
    assert arena.diff.sum() == 15
    assert [(s.lr_mult, s.decay_mult) for s in arena.stretches] == [(1.0, 1.0), (2.0, 0.0)]
    np.testing.assert_array_equal(arena.plain(arena.data, arena.segments[0]), np.full((2, 3), 10))
