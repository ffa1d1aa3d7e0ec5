"""The memory plan, shared buffers and the arena."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.kernel import HOST, TEST, TRAIN, Blob, Net, Place, SyncedArray, schema
from cafx.kernel.net import Access, Arena, MemoryPlan, Parameter, Use, aligned, plan_memory

FLOAT = 4


class Elsewhere(Place):
    """Another layout in host memory."""

    name = "elsewhere"


class Padded(Place):
    """A layout whose padding must stay zero."""

    name = "padded"
    shareable = False


PLACES = [HOST, Elsewhere()]


@attrs.frozen
class Pass:
    """A step that has accesses and nothing else."""

    forward: Sequence[Access]
    backward: Sequence[Access] = ()

    @property
    def needs_backward(self) -> bool:
        return bool(self.backward)

    def accesses(self, *, backward: bool) -> Sequence[Access]:
        return self.backward if backward else self.forward


def step(reads: Sequence[Use], writes: Sequence[Use]) -> Pass:
    return Pass([Access(reads, writes)])


@attrs.frozen
class Drawn:
    """A program drawn by hypothesis: for each step the arrays read and written, and where."""

    sizes: list[int]
    steps: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]
    kept: set[int]


@st.composite
def programs(draw: st.DrawFn) -> Drawn:
    sizes = draw(st.lists(st.integers(1, 1000), min_size=2, max_size=8))
    use = st.tuples(st.integers(0, len(sizes) - 1), st.integers(0, 1))
    steps = draw(st.lists(st.tuples(st.lists(use, max_size=3), st.lists(use, min_size=1, max_size=2)), max_size=12))
    return Drawn(sizes, steps, draw(st.sets(st.integers(0, len(sizes) - 1), max_size=2)))


def simulate(drawn: Drawn) -> MemoryPlan:
    """Run a drawn program in its planned memory; every read must see what was written last."""
    arrays = [SyncedArray(size, np.float32) for size in drawn.sizes]
    steps = [
        step([Use(arrays[i], PLACES[p]) for i, p in reads], [Use(arrays[i], PLACES[p]) for i, p in writes])
        for reads, writes in drawn.steps
    ]
    plan = plan_memory(steps, {arrays[index] for index in drawn.kept})
    pool = np.full(plan.pool // FLOAT, np.nan)
    memory: dict[Any, npt.NDArray[Any]] = {}
    for buffer in plan.buffers:
        start = buffer.offset // FLOAT
        own = np.full(buffer.storage.count, np.nan)
        memory[buffer.storage, buffer.place] = pool[start : start + buffer.storage.count] if buffer.shared else own
    current: dict[SyncedArray, set[Place]] = {}
    newest: dict[SyncedArray, int] = {}
    for number, (reads, writes) in enumerate(drawn.steps):
        for index, position in reads:
            array, place = arrays[index], PLACES[position]
            if array in newest:
                if place not in current[array]:
                    source = next(iter(current[array]))
                    memory[array, place][...] = memory[array, source]
                    current[array].add(place)
                assert (memory[array, place] == newest[array]).all()
        for index, position in writes:
            array, place = arrays[index], PLACES[position]
            memory[array, place][...] = number
            current[array], newest[array] = {place}, number
    for index in drawn.kept:
        if arrays[index] in newest:
            assert all(
                (memory[arrays[index], place] == newest[arrays[index]]).all() for place in current[arrays[index]]
            )
    return plan


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(programs())
def test_a_program_in_shared_memory_reads_what_it_wrote(drawn: Drawn) -> None:
    plan = simulate(drawn)
    assert plan.pool <= sum(aligned(buffer.nbytes) for buffer in plan.buffers if buffer.shared)


def test_a_chain_needs_two_buffers() -> None:
    arrays = [SyncedArray(160, np.float32) for _ in range(10)]
    steps = [step([Use(one, HOST)], [Use(two, HOST)]) for one, two in itertools.pairwise(arrays)]
    plan = plan_memory(steps, set())
    assert plan.pool == 2 * 640
    assert plan.alone == 9 * 640
    assert plan.unshared == 640  # the first one's values come from outside


def test_what_is_padded_or_kept_is_not_shared() -> None:
    padded, kept, free = (SyncedArray(16, np.float32) for _ in range(3))
    steps = [step([], [Use(padded, Padded()), Use(kept, HOST), Use(free, HOST)])]
    shared = [buffer.storage for buffer in plan_memory(steps, {kept}).buffers if buffer.shared]
    assert shared == [free]


def test_conversions_are_counted() -> None:
    array, other = SyncedArray(16, np.float32), SyncedArray(16, np.float32)
    steps = [
        step([], [Use(array, HOST)]),
        step([Use(array, PLACES[1])], [Use(other, PLACES[1])]),
        step([Use(array, HOST), Use(other, HOST)], []),
    ]
    assert plan_memory(steps, set()).conversions == 2


def test_an_alias_lives_in_the_memory_of_its_source() -> None:
    source, alias, later = (SyncedArray(16, np.float32) for _ in range(3))
    of, use = Use(source, HOST), Use(alias, HOST)
    steps = [
        step([], [of]),
        Pass([Access([of], aliases=[(use, of)])]),
        step([], [Use(later, HOST)]),
        step([Use(alias, HOST), Use(later, HOST)], []),
    ]
    plan = plan_memory(steps, set())
    assert [buffer.storage for buffer in plan.buffers] == [source, later]
    assert plan.pool == 128, "the alias is still read while the later array is alive"


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
    memory = {name: shared.blobs[name].synced_data.memory(HOST) for name in ("h1", "h2", "h3")}
    assert np.shares_memory(memory["h1"], memory["h3"])
    assert not np.shares_memory(memory["h1"], memory["h2"])
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


def test_the_arena_holds_the_parameters_last_layer_first() -> None:
    blobs = [Blob((2, 3), name="w"), Blob((3,), name="b"), Blob((4,), name="v")]
    for index, blob in enumerate(blobs):
        blob.mutable_data[...] = index + 1
    mults = [(1.0, 1.0), (2.0, 0.0), (2.0, 0.0)]
    parameters = [Parameter(b, i, 0, "0", None, *mults[i]) for i, b in enumerate(blobs)]
    arena = Arena(parameters, {}, HOST)
    assert [blob.data.reshape(-1)[0] for blob in blobs] == [1, 2, 3]
    arena.data *= 10
    assert [blob.data.reshape(-1)[0] for blob in blobs] == [10, 20, 30]
    blobs[1].mutable_diff[...] = 5
    arena.synchronise()
    assert arena.diff.sum() == 15
    assert [segment.start for segment in arena.segments] == sorted((s.start for s in arena.segments), reverse=True)
    assert [(part.lr_mult, part.decay_mult) for part in arena.ranges] == [(2.0, 0.0), (1.0, 1.0)]
    np.testing.assert_array_equal(arena.to_host(arena.data, arena.segments[0]), np.full((2, 3), 10))
