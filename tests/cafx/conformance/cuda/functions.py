"""CuPy's functions, and the operators and methods of its arrays, made of NumPy's."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from .array import ndarray
from .calls import apply, mutate
from .names import (
    CHANGING,
    CHANGING_METHODS,
    METHODS,
    POSITIONS_OF_OUT,
    PRODUCTS,
    READING,
    REDUCTIONS,
    TRUTHS,
    UNKNOWN_TO_REDUCTIONS,
)
from .state import current

BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "lshift": np.left_shift, "rshift": np.right_shift, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "divmod": np.divmod,
}  # fmt: skip
COMPARISONS = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal
}  # fmt: skip
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


def lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function over device arrays."""
    if isinstance(function, np.ufunc):
        return Ufunc(function)
    name = function.__name__
    if name in CHANGING:
        return changing(function)
    if name in PRODUCTS:
        call = product(function)
    elif name in READING or name in REDUCTIONS or name in TRUTHS or name == "where":
        call = special(function, name)
    else:
        call = simple(function)
    return naming_out(call, POSITIONS_OF_OUT[name]) if name in POSITIONS_OF_OUT else call


def simple(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function without exceptions."""
    return lambda *inputs, **options: apply(function, inputs, options)


def naming_out(call: Callable[..., Any], position: int) -> Callable[..., Any]:
    """A function whose ``out`` may be given by position."""

    def named(*inputs: Any, **options: Any) -> Any:
        if len(inputs) > position:
            options["out"] = inputs[position]
            inputs = inputs[:position] + inputs[position + 1 :]
            if len(inputs) > position:
                raise TypeError("give arguments after `out` by name")
        return call(*inputs, **options)

    return named


def changing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that changes its first argument."""

    def call(target: ndarray, *inputs: Any, **options: Any) -> None:
        mutate(
            function, (target, *inputs), {key: value for key, value in options.items() if value is not None}, (target,)
        )

    return call


def product(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that CuPy hands to its cuBLAS, which refuses capture."""
    dot = function.__name__ == "dot"

    def call(*inputs: Any, **options: Any) -> Any:
        if current().threads.stream.capture is not None and not (dot and any(np.ndim(plain) == 0 for plain in inputs)):
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        return apply(function, inputs, options)

    return call


def special(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function with an exception: it waits for the device, lacks NumPy's options, or returns a bool in NumPy."""

    def call(*inputs: Any, **options: Any) -> Any:
        if name in REDUCTIONS and not UNKNOWN_TO_REDUCTIONS.isdisjoint(options):
            raise TypeError(f"{name}() got an unexpected keyword argument: CuPy has none of where, initial, mean")
        if name in READING or (name == "where" and len(inputs) + len(options) == 1):
            current().read(f"cupy.{name}")
        if name in TRUTHS:
            return apply(lambda *given, **named: np.bool_(function(*given, **named)), inputs, options)
        return apply(function, inputs, options)

    return call


class Ufunc:
    """A universal function over device arrays."""

    __slots__ = ("_ufunc",)

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The function itself."""
        for each in inputs:
            if type(each) in (list, tuple):
                raise TypeError(f"Unsupported type {type(each)}")
        ufunc = self._ufunc
        if ufunc is np.matmul:
            return product(ufunc)(*inputs, **options)
        if len(inputs) > ufunc.nin:
            options["out"] = inputs[ufunc.nin] if ufunc.nout == 1 else inputs[ufunc.nin :]
            inputs = inputs[: ufunc.nin]
        return apply(ufunc, inputs, options)

    def at(self, target: ndarray, *inputs: Any) -> None:
        """Apply it at indices, in place."""
        mutate(self._ufunc.at, (target, *inputs), {}, (target,))

    def __getattr__(self, name: str) -> Any:
        """The ufunc's attributes, and its methods: reduce, accumulate, outer."""
        found = getattr(self._ufunc, name)
        return (lambda *inputs, **options: apply(found, inputs, options)) if callable(found) else found

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self._ufunc.__name__}'>"


def getitem(self: ndarray, key: Any) -> ndarray:
    check_index(key)
    if type(key) is not tuple:
        key = (key,)
    if not any(each is Ellipsis for each in key):
        key = (*key, Ellipsis)  # so that an element is a view, not a copy
    result: ndarray = apply(operator.getitem, (self, key))
    return result


def setitem(self: ndarray, key: Any, value: Any) -> None:
    if type(value) in (list, tuple):
        raise TypeError(f"Unsupported type {type(value)}")
    check_host_index(key)
    mutate(operator.setitem, (self, key, value), {}, (self,))


def iterate(self: ndarray) -> Iterator[ndarray]:
    if not self.ndim:
        raise TypeError("iteration over a 0-d array")
    return (getitem(self, index) for index in range(len(self)))


def check_index(key: Any) -> None:
    """Note the reads that an index causes: one of booleans asks how many are true."""
    if type(key) in (int, slice, type(Ellipsis)):
        return
    check_host_index(key)
    for each in key if type(key) is tuple else (key,):
        if type(each) is ndarray and each.dtype == bool:
            current().read("a boolean index")


def check_host_index(key: Any) -> None:
    """Refuse a list as an index in a capture: it is copied from the host."""
    if type(key) is list or (type(key) is tuple and any(type(each) is list for each in key)):
        current().forbid(None, "a list as an index")


def _define() -> None:
    """Give the array class its operators and methods."""
    for name, ufunc in BINARY.items():
        setattr(ndarray, f"__{name}__", _binary(ufunc))
        setattr(ndarray, f"__r{name}__", _reflected(ufunc))
        if name != "divmod":
            setattr(ndarray, f"__i{name}__", _in_place(ufunc))
    for name, ufunc in COMPARISONS.items():
        setattr(ndarray, f"__{name}__", _binary(ufunc))
    for name, ufunc in UNARY.items():
        setattr(ndarray, f"__{name}__", _method(ufunc))
    matmul = product(np.matmul)
    special_methods: dict[str, Any] = {
        "__matmul__": lambda self, other: matmul(self, other),
        "__rmatmul__": lambda self, other: matmul(other, self),
        "__getitem__": getitem,
        "__setitem__": setitem,
        "__iter__": iterate,
        "__copy__": lambda self: apply(np.ndarray.copy, (self,)),
        "__deepcopy__": lambda self, _: apply(np.ndarray.copy, (self,)),
        "real": property(_method(np.real)),
        "imag": property(_method(np.imag)),
        "ptp": lifted(np.ptp),
        "scatter_add": lambda self, slices, value: Ufunc(np.add).at(self, slices, value),
    }
    for name, value in special_methods.items():
        setattr(ndarray, name, value)
    for name in METHODS:
        setattr(ndarray, name, lifted(getattr(np.ndarray, name)))
    for name in CHANGING_METHODS:
        setattr(ndarray, name, changing(getattr(np.ndarray, name)))


def _operand(value: Any) -> bool:
    return type(value) not in (list, tuple, str, type(None))


def _binary(ufunc: np.ufunc) -> Callable[[ndarray, Any], Any]:
    def call(self: ndarray, other: Any) -> Any:
        return apply(ufunc, (self, other)) if _operand(other) else NotImplemented

    return call


def _reflected(ufunc: np.ufunc) -> Callable[[ndarray, Any], Any]:
    def call(self: ndarray, other: Any) -> Any:
        return apply(ufunc, (other, self)) if _operand(other) else NotImplemented

    return call


def _in_place(ufunc: np.ufunc) -> Callable[[ndarray, Any], Any]:
    def call(self: ndarray, other: Any) -> Any:
        if not _operand(other):
            return NotImplemented
        mutate(ufunc, (self, other), {"out": self}, (self,))
        return self

    return call


def _method(function: Callable[..., Any]) -> Callable[[ndarray], Any]:
    return lambda self: apply(function, (self,))


_define()


class Functions(ModuleType):
    """A module of NumPy's functions over device arrays.

    Args:
        name: the module's name.
        source: NumPy, or one of its submodules.
        absent: names CuPy lacks.
    """

    def __init__(self, name: str, source: ModuleType, absent: frozenset[str] = frozenset()) -> None:
        super().__init__(name, "A stand-in for CuPy over host memory.")
        self.__dict__["_source"] = source
        self.__dict__["_absent"] = absent

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in self._absent:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(self._source, name, None)
        if found is None and name != "newaxis":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if isinstance(found, ModuleType):
            found = Functions(f"{self.__name__}.{name}", found)
        elif callable(found) and not isinstance(found, type):
            found = lifted(found)
        self.__dict__[name] = found
        return found


class ArrayOperations:
    """The operations of device arrays."""

    def ufunc(self, function: np.ufunc) -> Ufunc:
        """A universal function over device arrays."""
        return Ufunc(function)

    def lifted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Any other function over device arrays."""
        return lifted(function)


ndarray.operations = ArrayOperations()
