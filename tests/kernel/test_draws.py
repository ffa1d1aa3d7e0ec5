"""Random draws in an engine's place: NumPy's generators on the host, Philox on a device."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
import pytest

from cafx.conformance.device import DeviceArray, DeviceModule
from cafx.conformance.device_engine import DeviceEngine
from cafx.conformance.strict import strict
from cafx.kernel import Net, Phase, registry, schema
from cafx.kernel.net import HostDraws, PhiloxDraws, Streams
from cafx.kernel.net.draws import philox

RANDOM123 = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
"""Counter, key and output of Philox4x32-10 in Random123's kat_vectors."""
DROPOUT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 7 } } }
layer { name: "drop" type: "Dropout" bottom: "x" top: "y" }
"""


def words(text: str) -> list[Any]:
    return [np.array([int(word, 16)], np.uint64) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), RANDOM123)
def test_philox_gives_the_published_vectors(counter: str, key: str, expected: str) -> None:
    output = philox(np, words(counter), words(key))
    assert [int(word[0]) for word in output] == [int(word, 16) for word in expected.split()]


def test_values_are_the_words_of_the_documented_counter_and_key() -> None:
    seed, name, position, index = 2**40 + 77, "drop", 3, 6
    draws = PhiloxDraws(Streams(seed), np)
    drawn = [draws.uniform(name, (2, 5), np.float32) for _ in range(position + 1)][position]
    key = [np.uint64(seed % 2**32 ^ seed >> 32), np.uint64(zlib.crc32(name.encode()))]
    counter = [np.uint64(index // 4), np.uint64(0), np.uint64(position), np.uint64(0)]
    word = int(philox(np, counter, key)[index % 4])
    assert drawn.reshape(-1)[index] == (word >> 8) * 2.0**-24
    assert drawn.dtype == np.float32


def test_positions_beyond_32_bits_have_numbers_of_their_own() -> None:
    draws = PhiloxDraws(Streams(1), np)
    drawn = []
    for position in (0, 1, 2**32, 2**32 + 1):
        draws.restore({"a": position})
        drawn.append(tuple(draws.uniform("a", (4,), np.float32)))
    assert len(set(drawn)) == len(drawn)
    assert draws.state() == {"a": 2**32 + 2}


def test_values_are_uniform_and_differ_by_name_and_seed() -> None:
    one, two = PhiloxDraws(Streams(1), np), PhiloxDraws(Streams(2), np)
    drawn = one.uniform("a", (100_000,), np.float32)
    assert 0 <= drawn.min() < drawn.max() < 1
    counts = np.histogram(drawn, 20, (0, 1))[0]
    assert abs(counts - 5000).max() < 5 * np.sqrt(5000)
    assert not np.array_equal(drawn[:100], one.uniform("b", (100,), np.float32))
    assert not np.array_equal(drawn[:100], two.uniform("a", (100,), np.float32))
    np.testing.assert_array_equal(PhiloxDraws(Streams(1), np).uniform("a", (100,), np.float64), drawn[:100])


def test_draws_on_the_host_are_those_of_the_generator() -> None:
    streams = Streams(4)
    draws = HostDraws(streams)
    for dtype in (np.float32, np.float64):
        expected = Streams(4)["a"].random((2, 3), dtype)
        np.testing.assert_array_equal(HostDraws(Streams(4)).uniform("a", (2, 3), dtype), expected)
    assert draws.state() == {}
    assert "counters" not in streams.state()


def test_draws_on_a_device_stay_there_and_advance_one_array() -> None:
    draws = PhiloxDraws(Streams(4), DeviceModule())
    state = draws.stream("a")
    memory = state._array
    with strict("a test"):
        drawn = draws.uniform("a", (2, 3), np.float32)
    assert isinstance(drawn, DeviceArray)
    assert draws.state() == {"a": 1}
    draws.restore({"a": 9})
    assert draws.stream("a")._array is memory
    assert draws.state() == {"a": 9}


def test_the_state_of_the_streams_holds_the_positions_and_is_restored_in_place() -> None:
    streams = Streams(4)
    draws = PhiloxDraws(streams, np)
    draws.uniform("a", (3,), np.float32)
    saved = json.loads(json.dumps(streams.state()))
    assert saved["counters"] == {"a": 1}
    expected = draws.uniform("a", (3,), np.float32)
    other = Streams(5)
    resumed = PhiloxDraws(other, np)
    memory = resumed.stream("a")
    other.restore(saved)
    np.testing.assert_array_equal(resumed.uniform("a", (3,), np.float32), expected)
    assert resumed.stream("a") is memory


def test_a_state_without_positions_begins_anew() -> None:
    streams = Streams(4)
    draws = PhiloxDraws(streams, np)
    first = draws.uniform("a", (3,), np.float32)
    streams.restore({"seed": 4, "streams": {}})
    np.testing.assert_array_equal(draws.uniform("a", (3,), np.float32), first)


def test_a_net_on_a_device_resumes_its_dropout_exactly() -> None:
    definition = schema().parse_text(DROPOUT, "NetParameter")
    first, second = (Net(definition, Phase.TRAIN, engine=DeviceEngine(registry()), seed=seed) for seed in (1, 2))
    x = np.ones((3, 7))
    first.forward(x=x)
    saved = json.loads(json.dumps(first.state()))
    expected = first.forward(x=x)["y"]
    second.forward(x=x)
    second.restore(saved)
    np.testing.assert_array_equal(second.forward(x=x)["y"], expected)
    assert 0 < (expected == 0).sum() < expected.size
