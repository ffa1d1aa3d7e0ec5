"""Functions that make device arrays, and that copy them to the host."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from .array import ndarray
from .calls import adopt, apply, mutate
from .state import current


def asarray(
    a: Any, dtype: npt.DTypeLike | None = None, order: Any = None, *, copy: bool | None = None, blocking: bool = False
) -> ndarray:
    """``a`` on the device: itself if it is there already."""
    if isinstance(a, ndarray):
        if (dtype is None or a.dtype == dtype) and not copy:
            return a
        made: ndarray = apply(np.array, (a,), {"dtype": dtype, "order": order or "K"})
        return made
    if isinstance(a, (list, tuple)) and any(isinstance(each, ndarray) for each in a):
        stacked: ndarray = apply(lambda parts: np.array(parts, dtype), (a,))
        return stacked
    runtime = current()
    runtime.forbid(None, "a copy of host values to the device (cupy.asarray)")
    runtime.copies_to_device += 1
    host = np.array(a, dtype, order=order or "C")
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    return adopt(host, runtime)


def array(
    obj: Any,
    dtype: npt.DTypeLike | None = None,
    copy: bool | None = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """A copy of ``obj`` on the device."""
    made = asarray(obj, dtype, "C" if order == "K" and not isinstance(obj, ndarray) else order, copy=copy)
    if made.ndim >= ndmin:
        return made
    view: ndarray = apply(np.reshape, (made, (1,) * (ndmin - made.ndim) + made.shape))
    return view


def asnumpy(a: Any, stream: Any = None, order: Any = "C", out: Any = None, *, blocking: bool = True) -> Any:
    """``a`` as a host array."""
    if isinstance(a, ndarray):
        return a.get(stream=stream, order=order, out=out)
    return np.asarray(a, order=order)


def ascontiguousarray(a: Any, dtype: npt.DTypeLike | None = None) -> ndarray:
    """``a`` in C order."""
    made = asarray(a, dtype)
    if made.flags.c_contiguous:
        return made
    copied: ndarray = apply(np.ndarray.copy, (made,))
    return copied


def empty(shape: Any, dtype: npt.DTypeLike = float, order: str = "C") -> ndarray:
    """An array of undefined values: NaN for floating-point numbers."""
    return ndarray(shape, dtype, order=order)


def empty_like(
    prototype: Any, dtype: npt.DTypeLike | None = None, order: str = "K", subok: Any = None, shape: Any = None
) -> ndarray:
    """An array like ``prototype`` of undefined values."""
    if not isinstance(prototype, ndarray):
        raise TypeError(f"Unsupported type {type(prototype)}")
    like = np.empty_like(np.broadcast_to(np.empty((), prototype.dtype), prototype.shape), dtype, "C", shape=shape)
    return ndarray(like.shape, like.dtype)


def full(shape: Any, fill_value: Any, dtype: npt.DTypeLike | None = None, order: str = "C") -> ndarray:
    """An array of one value."""
    kind = dtype if dtype is not None else getattr(fill_value, "dtype", None) or np.asarray(fill_value).dtype
    made = empty(shape, kind, order)
    mutate(operator.setitem, (made, Ellipsis, fill_value), {}, (made,))
    return made


def zeros(shape: Any, dtype: npt.DTypeLike = float, order: str = "C") -> ndarray:
    """An array of zeros."""
    return full(shape, 0, dtype, order)


def ones(shape: Any, dtype: npt.DTypeLike = float, order: str = "C") -> ndarray:
    """An array of ones."""
    return full(shape, 1, dtype, order)


def full_like(a: Any, fill_value: Any, dtype: npt.DTypeLike | None = None, *_: Any, **options: Any) -> ndarray:
    """An array of one value, like ``a``."""
    made = empty_like(a, dtype, **options)
    mutate(operator.setitem, (made, Ellipsis, fill_value), {}, (made,))
    return made


def zeros_like(a: Any, dtype: npt.DTypeLike | None = None, *_: Any, **options: Any) -> ndarray:
    """An array of zeros, like ``a``."""
    return full_like(a, 0, dtype, **options)


def ones_like(a: Any, dtype: npt.DTypeLike | None = None, *_: Any, **options: Any) -> ndarray:
    """An array of ones, like ``a``."""
    return full_like(a, 1, dtype, **options)


def copyto(dst: ndarray, src: Any, casting: Any = "same_kind", where: Any = None) -> None:
    """Copy values on the device."""
    if type(dst) is not ndarray:
        raise TypeError("dst must be cupy.ndarray")
    options = {"casting": casting} if where is None else {"casting": casting, "where": where}
    mutate(np.copyto, (dst, src), options, (dst,))


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    """Whether two device arrays may overlap."""
    if isinstance(a, ndarray) and isinstance(b, ndarray):
        return np.may_share_memory(a._array, b._array)
    return False
