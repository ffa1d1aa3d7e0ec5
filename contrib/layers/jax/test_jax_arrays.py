"""How arrays are exchanged with JAX: what is shared, what is copied, and in which order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cafx.kernel import Place
from cafx.kernel.blob import HOST, SyncedArray
from cafx_layer_jax import arrays as exchange
from cafx_layer_jax.arrays import DeviceArrays, HostArrays, arrays_of
from cafx_layer_jax.compiled import runtime


def address(array: Any) -> int:
    return int(array.unsafe_buffer_pointer())


@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 6, 1), ()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_of_the_host_are_shared(shape: tuple[int, ...], dtype: Any) -> None:
    count = int(np.prod(shape))
    values = SyncedArray(count, dtype)
    values.write(HOST)[...] = np.arange(count)
    found = HostArrays().read(values, shape)
    assert np.shares_memory(found, values.read(HOST))
    with runtime().enable_x64(True):
        doubled = runtime().jit(lambda x: 2 * x)(found)
    assert (doubled.shape, doubled.dtype) == (shape, dtype)
    np.testing.assert_array_equal(np.asarray(doubled).ravel(), 2 * np.arange(count))


def test_results_are_copied_so_that_a_net_s_memory_stays_its_own() -> None:
    values = SyncedArray(3, np.float32)
    result = runtime().numpy.arange(3.0)
    HostArrays().write(values, (3,), result)
    assert values.read(HOST).ctypes.data != address(result)
    assert values.read(HOST).tolist() == [0, 1, 2]
    assert values.current == (HOST,)


class StandIn:
    """An array of a pretended device: host memory that exchanges through DLPack, and a log of what happens."""

    def __init__(self, array: Any, log: list[str]) -> None:
        self.array, self.log = array, log

    def reshape(self, shape: Any) -> StandIn:
        return StandIn(self.array.reshape(shape), self.log)

    def __dlpack__(self, **options: Any) -> Any:
        self.log.append("export")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __setitem__(self, index: Any, value: StandIn) -> None:
        self.log.append("copy")
        self.array[index] = value.array

    def __iadd__(self, other: StandIn) -> StandIn:
        self.log.append("add")
        self.array += other.array
        return self


class DevicePlace(Place):
    """The pretended device's memory."""

    name = memory = "device"

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def allocate(self, count: int, dtype: Any) -> StandIn:
        return StandIn(np.zeros(count, dtype), self.log)

    def from_host(self, host: Any, array: StandIn) -> None:
        raise AssertionError("a copy from the host")

    def to_host(self, array: StandIn, host: Any) -> None:
        raise AssertionError("a copy to the host")


def cupy(log: list[str]) -> Any:
    """What `DeviceArrays` needs of CuPy."""
    stream = SimpleNamespace(synchronize=lambda: log.append("wait"))
    cuda = SimpleNamespace(get_current_stream=lambda: stream)
    return SimpleNamespace(__name__="cupy", cuda=cuda, from_dlpack=lambda array: StandIn(np.from_dlpack(array), log))


def test_values_of_a_device_are_exchanged_there_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    place, xp = DevicePlace(log), cupy(log)
    monkeypatch.setattr(exchange, "_has_device", lambda: True)
    arrays = arrays_of(place, xp)
    assert isinstance(arrays, DeviceArrays)
    values = SyncedArray(4, np.float32)
    arrays.write(values, (2, 2), runtime().numpy.ones((2, 2)))
    arrays.add(values, (2, 2), runtime().numpy.full((2, 2), 2.0))
    assert values.current == (place,)
    assert log == ["copy", "wait", "add", "wait"]
    assert np.asarray(arrays.read(values, (2, 2))).tolist() == [[3, 3], [3, 3]]
    assert log[-1] == "export"


def test_without_jax_on_the_gpu_values_pass_through_the_host() -> None:
    assert isinstance(arrays_of(HOST, np), HostArrays)
    assert isinstance(arrays_of(DevicePlace([]), cupy([])), HostArrays)
