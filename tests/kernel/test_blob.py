"""Blob and SyncedArray: values in several places, shapes, sharing and protos."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.kernel import Blob, CafxError, Place, schema
from cafx.kernel.blob import HOST, SyncedArray, same_shape

SHAPES = st.lists(st.integers(0, 5), max_size=5).map(tuple)


class Negative(Place):
    """A place that stores negated values and counts conversions."""

    name = "negative"

    def __init__(self) -> None:
        self.fetched = self.returned = 0

    def allocate(self, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.zeros(count, dtype)

    def from_host(self, host: npt.NDArray[Any], array: npt.NDArray[Any]) -> None:
        self.fetched += 1
        array[...] = -host

    def to_host(self, array: npt.NDArray[Any], host: npt.NDArray[Any]) -> None:
        self.returned += 1
        host[...] = -array


@settings(deadline=None)
@given(SHAPES)
def test_a_new_blob_is_zero_everywhere(shape: tuple[int, ...]) -> None:
    blob = Blob(shape)
    assert blob.data.shape == blob.diff.shape == shape
    assert not blob.data.any()
    assert blob.count() == blob.data.size


def test_data_is_read_only() -> None:
    blob = Blob((2, 3))
    with pytest.raises(ValueError, match="read-only"):
        blob.data[0, 0] = 1
    blob.mutable_data[0, 0] = 1
    assert blob.data[0, 0] == 1


def test_a_place_is_updated_only_when_it_is_stale_and_read() -> None:
    place, array = Negative(), SyncedArray(3, np.float32)
    array.write(HOST)[...] = [1, 2, 3]
    assert (place.fetched, place.returned) == (0, 0)
    assert array.read(place).tolist() == [-1, -2, -3]
    array.read(place)
    array.read(HOST)
    assert (place.fetched, place.returned) == (1, 0)
    array.write(place)[0] = 5
    assert array.current == (place,)
    assert array.read(HOST).tolist() == [-5, 2, 3]
    assert (place.fetched, place.returned) == (1, 1)


def test_discarded_values_are_not_converted() -> None:
    place, array = Negative(), SyncedArray(3, np.float32)
    array.write(HOST)[...] = 1
    array.discard()
    array.write(place)[...] = 7
    assert place.fetched == 0
    assert array.read(HOST).tolist() == [-7, -7, -7]


def test_attached_memory_receives_the_values_with_keep() -> None:
    array, arena = SyncedArray(3, np.float32), np.zeros(5, np.float32)
    array.write(HOST)[...] = [1, 2, 3]
    array.attach(HOST, arena[1:4], keep=True)
    assert arena.tolist() == [0, 1, 2, 3, 0]
    arena[1] = 9
    assert array.read(HOST)[0] == 9


def test_attached_memory_is_stale_without_keep() -> None:
    place, array = Negative(), SyncedArray(3, np.float32)
    array.write(place)[...] = [-1, -2, -3]
    array.attach(HOST, np.full(3, np.nan, np.float32), keep=False)
    assert array.current == (place,)
    assert array.read(HOST).tolist() == [1, 2, 3]


def test_detached_memory_is_not_written() -> None:
    array, pool = SyncedArray(2, np.float32), np.zeros(2, np.float32)
    array.attach(HOST, pool, keep=False)
    array.write(HOST)[...] = 1
    array.detach()
    array.write(HOST)[...] = 2
    assert pool.tolist() == [1, 1]
    assert not array.is_attached


class SecondNegative(Negative):
    """A place that converts directly from `Negative`."""

    def convert(self, source_place: Place, source: Any, target: Any) -> bool:
        if not isinstance(source_place, Negative):
            return False
        target[...] = source
        return True


def test_places_convert_directly_where_possible() -> None:
    negative, second, array = Negative(), SecondNegative(), SyncedArray(2, np.float32)
    array.write(negative)[...] = [-1, -2]
    assert array.read(second).tolist() == [-1, -2]
    assert (negative.returned, second.fetched) == (0, 0)


def test_zeros_are_written_only_to_places_that_are_read() -> None:
    place, array = Negative(), SyncedArray(2, np.float32)
    array.write(place)[...] = 7
    array.zero()
    assert array.is_zero
    assert array.current == ()
    assert array.read(HOST).tolist() == [0, 0]
    assert (place.fetched, place.returned) == (0, 0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["read", "write", "zero", "discard", "attach", "resize"]), st.integers(0, 2)))
)
def test_the_state_machine_keeps_the_newest_values(moves: list[tuple[str, int]]) -> None:
    """A read returns the values written last, whatever was done in which place."""
    places, array, expected = [HOST, Negative(), SecondNegative()], SyncedArray(2, np.float32), np.zeros(2)
    known, version = False, 0
    for number, (move, index) in enumerate(moves):
        place, sign = places[index], -1 if index else 1
        if move == "read" and known:
            np.testing.assert_array_equal(sign * array.read(place), expected)
        elif move == "write":
            array.write(place)[...] = number
            expected, known = np.full(2, sign * number), True
        elif move == "zero":
            array.zero()
            expected, known = np.zeros(2), True
        elif move == "discard":
            array.discard()
            known = False
        elif move == "attach":
            array.attach(place, np.full(2, np.nan, np.float32), keep=True)
        elif move == "resize":
            array.resize(3)
            array.resize(2)
            known = False
        assert array.version >= version
        version = array.version


def test_reshape_keeps_values_and_memory() -> None:
    blob = Blob((2, 3))
    blob.mutable_data[...] = np.arange(6).reshape(2, 3)
    memory = blob.data.ctypes.data
    blob.reshape(4)
    assert blob.data.tolist() == [0, 1, 2, 3]
    blob.reshape(3, 2)
    assert blob.data.ctypes.data == memory
    assert blob.data.reshape(-1).tolist() == [0, 1, 2, 3, 4, 5]


def test_shared_data_may_have_different_shapes() -> None:
    one, two = Blob((2, 3)), Blob((6,))
    two.share_data(one)
    one.mutable_data[1, 0] = 4
    assert two.data[3] == 4
    assert two.diff is not one.diff
    with pytest.raises(CafxError, match="same number of values"):
        Blob((5,), name="five").share_data(one)


@pytest.mark.parametrize(
    ("shape", "phrase"), [((2, -1), "negative"), ((1,) * 33, "33 axes"), ((2**20, 2**20), "too large")]
)
def test_invalid_shapes_are_refused(shape: tuple[int, ...], phrase: str) -> None:
    with pytest.raises(CafxError, match=phrase):
        Blob(shape, name="b")


@settings(deadline=None)
@given(SHAPES, st.booleans(), st.sampled_from([np.float32, np.float64]))
def test_a_blob_is_restored_from_its_proto(shape: tuple[int, ...], diff: bool, dtype: Any) -> None:
    blob, again = Blob(shape, dtype), Blob((1,), dtype)
    rng = np.random.default_rng(0)
    blob.mutable_data[...] = rng.standard_normal(shape)
    blob.mutable_diff[...] = rng.standard_normal(shape)
    again.from_proto(blob.to_proto(schema()["BlobProto"](), diff))
    np.testing.assert_array_equal(again.data, blob.data)
    assert np.array_equal(again.diff, blob.diff) == (diff or not blob.diff.any())


def test_a_proto_with_a_wrong_number_of_values_is_refused() -> None:
    proto = schema()["BlobProto"](data=[1, 2, 3])
    proto.shape.dim.extend([2, 2])
    with pytest.raises(CafxError, match=r"got 3 values, expected 4"):
        Blob(name="b").from_proto(proto)


def test_legacy_4d_shapes_match_shapes_with_fewer_axes() -> None:
    assert same_shape((10, 5), (1, 1, 10, 5))
    assert same_shape((7,), (1, 1, 1, 7))
    assert not same_shape((10, 5), (10, 5, 1, 1))
    assert not same_shape((2, 10, 5), (10, 5))
