"""The stand-in for cupy.ndarray."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from .memory import Memory, MemoryPointer, address_of, inside, raw_view
from .state import current


class Operations(Protocol):
    """How NumPy's functions run on device arrays; the module of the functions provides it."""

    def ufunc(self, function: np.ufunc) -> Any:
        """A universal function over device arrays."""

    def lifted(self, function: Any) -> Any:
        """Any other function over device arrays."""


class ndarray:  # noqa: N801 - CuPy's name
    """An array in device memory: NumPy's semantics, but never mixed with host arrays.

    Args:
        shape: the shape.
        dtype: the type of its elements.
        memptr: where its elements are; new memory by default.
        strides: in bytes; C order by default.
        order: "C" or "F".
    """

    operations: ClassVar[Operations]
    __slots__ = ("__weakref__", "_array", "_memory")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]  # like every mutable array

    _array: npt.NDArray[Any]
    _memory: Memory | None

    def __new__(  # noqa: D102 - the class says it
        cls,
        shape: int | tuple[int, ...],
        dtype: npt.DTypeLike = float,
        memptr: MemoryPointer | None = None,
        strides: tuple[int, ...] | None = None,
        order: str = "C",
    ) -> ndarray:
        kind = np.dtype(dtype)
        sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (int(shape),)
        count = int(np.prod(sizes, dtype=np.int64))
        pointer = memptr if memptr is not None else current().allocate(count * kind.itemsize)
        if strides is None and order == "F":
            strides = tuple(kind.itemsize * int(np.prod(sizes[:axis], dtype=np.int64)) for axis in range(len(sizes)))
        if count == 0:
            return cls._of(np.empty(sizes, kind), None)
        view = raw_view(pointer.ptr, sizes, strides, kind)
        if pointer.mem is None or not inside(view, pointer.mem):
            raise AssertionError(f"an array of shape {sizes} and type {kind} is not inside its memory")
        return cls._of(view, pointer.mem)

    @classmethod
    def _of(cls, array: npt.NDArray[Any], memory: Memory | None) -> ndarray:
        made = object.__new__(cls)
        made._array = array
        made._memory = memory
        return made

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._array.shape

    @shape.setter
    def shape(self, shape: tuple[int, ...]) -> None:
        """Give it another shape, without a copy."""
        view = self._array.view()
        view.shape = shape
        self._array = view

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its elements."""
        return self._array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._array.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._array.size

    @property
    def nbytes(self) -> int:
        """The bytes of all its elements."""
        return self._array.nbytes

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self._array.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """The bytes from one element to the next along each axis."""
        return self._array.strides

    @property
    def flags(self) -> Any:
        """Contiguity."""
        return self._array.flags

    @property
    def T(self) -> ndarray:  # noqa: N802 - NumPy's name
        """The axes reversed."""
        return ndarray._of(self._array.T, self._memory)

    @property
    def data(self) -> MemoryPointer:
        """Where its first element is."""
        if self._memory is None:
            return MemoryPointer(None, 0)
        return MemoryPointer(self._memory, address_of(self._array) - self._memory.ptr)

    @property
    def base(self) -> None:
        """Not kept: None."""
        return

    @property
    def device(self) -> Any:
        """The device it lies on."""
        from .device import Device

        return Device(0 if self._memory is None else self._memory.device_id)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "strides": None if self.flags.c_contiguous else self.strides,
            "version": 3,
            "stream": 1,
        }

    def __array__(self, *_: Any, **__: Any) -> npt.NDArray[Any]:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(self.operations.ufunc(ufunc), method)(*inputs, **options)

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        return self.operations.lifted(function)(*inputs, **options)

    def __len__(self) -> int:
        return len(self._array)

    def __repr__(self) -> str:
        return repr(self._array)

    def __float__(self) -> float:
        return float(self._value("float()"))

    def __int__(self) -> int:
        return int(self._value("int()"))

    def __bool__(self) -> bool:
        return bool(self._value("bool()"))

    def __complex__(self) -> complex:
        return complex(self._value("complex()"))

    def __format__(self, layout: str) -> str:
        return format(self._value("format()"), layout)

    def _value(self, what: str) -> Any:
        current().read(f"{what} of a device array")
        return self._array

    def item(self, *index: Any) -> Any:
        """An element as a Python scalar."""
        return self._value("item()").item(*index)

    def tolist(self) -> Any:
        """The elements as Python scalars."""
        return self._value("tolist()").tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        """The elements as bytes."""
        return bytes(self._value("tobytes()").tobytes(order))

    def get(self, stream: Any = None, order: Any = "C", out: Any = None, blocking: bool = True) -> npt.NDArray[Any]:
        """A copy in host memory.

        Args:
            stream: the stream that copies.
            order: of the copy's axes.
            out: a host array to copy into.
            blocking: whether to wait; here it always waits.
        """
        runtime = current()
        runtime.forbid(stream, "get()")
        runtime.read("get()")
        runtime.copies_to_host += 1
        if out is None:
            return np.array(self._array, order="C" if order == "A" else order)
        if not isinstance(out, np.ndarray):
            raise TypeError(f"Only numpy.ndarray can be obtained fromcupy.ndarray, not {type(out)}")
        if out.dtype != self.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        if out.shape != self.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual shape: {out.shape}")
        if not (out.flags.c_contiguous or out.flags.f_contiguous):
            raise RuntimeError("`out` must be C-contiguous or Fortran-contiguous")
        np.copyto(out, self._array)
        return out

    def set(self, arr: npt.NDArray[Any], stream: Any = None) -> None:
        """Copy a host array of the same shape and dtype into it."""
        if not isinstance(arr, np.ndarray):
            raise TypeError(f"Only numpy.ndarray can be set to cupy.ndarray, not {type(arr)}")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        runtime = current()
        runtime.forbid(stream, "set()")
        runtime.copies_to_device += 1
        runtime.note(1)
        np.copyto(self._array, arr)
