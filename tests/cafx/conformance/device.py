"""A stand-in device: arrays that, like CuPy's, refuse to mix with plain NumPy arrays.

A layer that runs on it computes with ``self.xp`` alone, and so will run on a GPU. In *strict* passes
it also refuses what work that is recorded and repeated (CUDA graphs) cannot contain: reading a value
on the host, bringing one from it, shapes that depend on values, and the operator ``@``, in whose
place ``xp.matmul`` is an engine's own product.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.conformance.strict import read_on_host, refuse_in_strict_pass
from cafx.kernel import Place

HIDDEN = ("random", "testing", "f2py", "ctypeslib")
SHAPES_FROM_VALUES = ("argwhere", "bincount", "compress", "extract", "flatnonzero", "nonzero", "unique")
READS = ("item", "tobytes", "tolist")
MATMUL = "use self.xp.matmul"
MASK = "multiply by the mask, or use self.xp.where"
BEFORE = "make the array in setup or reshape"


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that is not a NumPy array, and does not become one behind one's back."""

    __slots__ = ("_array",)
    __hash__ = None  # type: ignore[assignment]  # like every mutable array

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = array

    def __array__(self, *_: Any, **__: Any) -> npt.NDArray[Any]:
        raise TypeError("implicit conversion of a device array to a NumPy array")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return wrap(getattr(ufunc, method)(*unwrap(inputs), **unwrap(options)))

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        _check_function(function.__name__, inputs)
        return wrap(function(*unwrap(inputs), **unwrap(options)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # __array_interface__ would let NumPy in by the back door
            raise AttributeError(name)
        found = getattr(self._array, name)
        if name in READS:
            return lambda *arguments: read_on_host(f".{name}()", lambda: found(*arguments))
        return lift(found, name) if callable(found) else wrap(found)

    def __getitem__(self, index: Any) -> Any:
        _check_index(index)
        if _has_mask(index):
            refuse_in_strict_pass("the shape of x[mask] depends on values", MASK)
        return wrap(self._array[unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        _check_index(index)
        if isinstance(value, (list, tuple)):
            refuse_in_strict_pass("x[...] = a list", BEFORE)
        if _has_mask(index) and np.ndim(unwrap(value)):
            refuse_in_strict_pass("x[mask] = an array", MASK)
        self._array[unwrap(index)] = unwrap(value)

    def __len__(self) -> int:
        return len(self._array)

    def __float__(self) -> float:
        return read_on_host("float()", lambda: float(self._array))

    def __int__(self) -> int:
        return read_on_host("int()", lambda: int(self._array))

    def __index__(self) -> int:
        return read_on_host("an index or range()", self._array.__index__)

    def __bool__(self) -> bool:
        return read_on_host("bool(), if, and, or, not", lambda: bool(self._array))

    def __matmul__(self, other: Any) -> Any:
        refuse_in_strict_pass("the operator @", MATMUL)
        return wrap(np.matmul(self._array, unwrap(other)))

    def __imatmul__(self, other: Any) -> Any:
        refuse_in_strict_pass("the operator @=", MATMUL)
        self._array @= unwrap(other)
        return self

    def __repr__(self) -> str:
        return f"DeviceArray({self._array!r})"

    @property
    def T(self) -> DeviceArray:  # noqa: N802 - NumPy's name
        """The transpose."""
        return DeviceArray(self._array.T)


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _check_index(index: Any) -> None:
    if any(isinstance(part, list) for part in _parts(index)):
        refuse_in_strict_pass("a list as index", BEFORE)


def _has_mask(index: Any) -> bool:
    return any(isinstance(part, DeviceArray) and part._array.dtype == bool for part in _parts(index))


def _check_function(name: str, inputs: Any) -> None:
    if name in SHAPES_FROM_VALUES or (name == "where" and len(inputs) == 1):
        refuse_in_strict_pass(f"{name}, whose result's shape depends on values", MASK)


def unwrap(value: Any) -> Any:
    """Device arrays as what they hold; TypeError for a plain array among them."""
    if isinstance(value, DeviceArray):
        return value._array
    if isinstance(value, np.ndarray):
        raise TypeError("a plain NumPy array met a device array: bring it over with self.xp.asarray")
    if isinstance(value, (tuple, list)):
        return type(value)(map(unwrap, value))
    if isinstance(value, dict):
        return {key: unwrap(each) for key, each in value.items()}
    return value


def wrap(value: Any) -> Any:
    """Arrays as device arrays, also scalars, which on a device stay arrays."""
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(wrap, value))
    return value


def lift(function: Any, name: str = "") -> Any:
    """``function`` over device arrays."""

    def lifted(*inputs: Any, **options: Any) -> Any:
        _check_function(name, inputs)
        return wrap(function(*unwrap(inputs), **unwrap(options)))

    return lifted


class DeviceModule:
    """The array module of the stand-in device: NumPy's functions over device arrays."""

    def __init__(self, module: ModuleType = np) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name in HIDDEN:
            raise AttributeError(f"a device's array module has no {name}: use self.uniform or self.rng")
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            return DeviceModule(found)
        if isinstance(found, np.ufunc):
            return DeviceUfunc(found)
        return lift(found, name) if callable(found) and not isinstance(found, type) else found

    def asarray(self, value: Any, dtype: npt.DTypeLike | None = None) -> DeviceArray:
        """Bring ``value`` to the device."""
        if not isinstance(value, DeviceArray):
            refuse_in_strict_pass("xp.asarray or xp.array of values on the host", BEFORE)
        plain = value._array if isinstance(value, DeviceArray) else np.asarray(value)
        return DeviceArray(plain if dtype is None else plain.astype(dtype, copy=False))

    def array(self, value: Any, dtype: npt.DTypeLike | None = None) -> DeviceArray:
        """A copy of ``value`` on the device."""
        return DeviceArray(self.asarray(value, dtype)._array.copy())


class DeviceUfunc:
    """A universal function over device arrays."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The function itself."""
        return wrap(self._ufunc(*unwrap(inputs), **unwrap(options)))

    def __getattr__(self, name: str) -> Any:
        """The ufunc's methods: reduce, accumulate, at."""
        return lift(getattr(self._ufunc, name))


class DevicePlace(Place):
    """The stand-in device's memory."""

    name = "device"
    memory = "device"

    def allocate(self, count: int, dtype: npt.DTypeLike) -> DeviceArray:
        """Zeroed device memory."""
        return DeviceArray(np.zeros(count, dtype))

    def from_host(self, host: npt.NDArray[Any], array: DeviceArray) -> None:
        """Copy to the device."""
        refuse_in_strict_pass("a copy from the host", "write what is on the device")
        array._array[...] = host

    def to_host(self, array: DeviceArray, host: npt.NDArray[Any]) -> None:
        """Copy back."""
        read_on_host("a copy to the host", lambda: np.copyto(host, array._array))
