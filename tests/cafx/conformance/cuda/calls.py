"""NumPy's functions over device arrays: done at once, or recorded while the current stream captures.

While a stream captures
- a view is made at once, for it is no work of the device's;
- a call that makes a new array runs on the present values, to learn shape and dtype, and is recorded;
- a call that changes an array is tried on a copy, so that its errors show, and is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .array import ndarray
from .memory import Block, raw
from .runtime import Runtime
from .state import current
from .streams import Node, Stream

Function = Callable[..., Any]
SIMPLE = frozenset({int, float, bool, type(None), str, slice, type(Ellipsis), type, np.float32, np.float64})
NO_OPTIONS: dict[str, Any] = {}


def plain(value: Any) -> Any:
    """Device arrays as the NumPy arrays they hold; TypeError for a host array among them."""
    kind = type(value)
    if kind is ndarray:
        return value._array
    if kind in SIMPLE:
        return value
    if kind is tuple:
        return tuple([plain(each) for each in value])
    if kind is list:
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {kind}: bring host arrays to the device with cupy.asarray")
    return value


def apply(function: Function, inputs: tuple[Any, ...], options: dict[str, Any] = NO_OPTIONS) -> Any:
    """Call a NumPy function that changes nothing but ``out``."""
    out = options.get("out")
    if out is not None:
        mutate(function, inputs, options, out if type(out) is tuple else (out,))
        return out[0] if type(out) is tuple and len(out) == 1 else out
    runtime = current()
    stream = runtime.threads.stream
    if stream.capture is not None:
        return record(runtime, stream, function, inputs, options)
    arguments = [plain(each) for each in inputs]
    if options:
        options = {key: plain(each) for key, each in options.items()}
    with np.errstate(all="ignore"):
        result = function(*arguments, **options)
    return wrap(result, runtime)


def wrap(value: Any, runtime: Runtime) -> Any:
    """NumPy's results as device arrays, scalars too."""
    kind = type(value)
    if kind is np.ndarray:
        return adopt(value, runtime)
    if isinstance(value, np.generic):
        return adopt(np.asarray(value), runtime)
    if isinstance(value, (tuple, list)):
        parts = [wrap(each, runtime) for each in value]
        return kind(*parts) if hasattr(value, "_fields") else kind(parts)
    return value


def adopt(array: npt.NDArray[Any], runtime: Runtime) -> ndarray:
    """A view of device memory as it is; any other host array becomes device memory, which counts as work."""
    if array.size:
        memory = runtime.registry.memory_at(array.__array_interface__["data"][0])
        if memory is not None:
            return ndarray._of(array, memory)
    if array.base is not None:
        array = array.copy(order="K")
    if runtime.threads.stream.capture is None:
        runtime.note(1)
    else:
        runtime.operations += 1
    return ndarray._of(*runtime.own(array))


def mutate(function: Function, inputs: tuple[Any, ...], options: dict[str, Any], targets: tuple[ndarray, ...]) -> None:
    """Call a function that changes ``targets`` and whose result is of no interest."""
    for target in targets:
        if type(target) is not ndarray:
            raise TypeError(f"return arrays must be of cupy.ndarray, not {type(target)}")
    runtime = current()
    stream = runtime.threads.stream
    arguments = [plain(each) for each in inputs]
    options = {key: plain(each) for key, each in options.items()}
    if stream.capture is None:
        runtime.note(1)
        with np.errstate(all="ignore"):
            function(*arguments, **options)
        return
    copies = {id(target._array): target._array.copy(order="K") for target in targets}
    attempt(function, replaced(arguments, copies), replaced(options, copies))
    append(runtime, stream, function, (inputs, targets), arguments, options, None)


def attempt(function: Function, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Run a function on values that may be of no meaning yet: indices out of range are read as zeros."""
    with np.errstate(all="ignore"):
        try:
            return function(*arguments, **options)
        except IndexError:
            indices = {id(each): np.zeros_like(each) for each in flat(arguments) if each.dtype.kind in "iu"}
            return function(*replaced(arguments, indices), **options)


def replaced(value: Any, copies: dict[int, npt.NDArray[Any]]) -> Any:
    """``value`` with some of its arrays replaced."""
    if isinstance(value, np.ndarray):
        return copies.get(id(value), value)
    if isinstance(value, (tuple, list)):
        return type(value)([replaced(each, copies) for each in value])
    if isinstance(value, dict):
        return {key: replaced(each, copies) for key, each in value.items()}
    return value


def record(
    runtime: Runtime, stream: Stream, function: Function, inputs: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    """Run a function to know its result's shape, and record that it be run again into that result."""
    arguments = [plain(each) for each in inputs]
    keywords = {key: plain(each) for key, each in options.items()}
    result = attempt(function, arguments, keywords)
    before = runtime.operations
    wrapped = wrap(result, runtime)
    fresh = runtime.operations - before
    runtime.operations = before
    if fresh:
        append(runtime, stream, function, (inputs, tuple(options.values()), wrapped), arguments, keywords, wrapped)
    return wrapped


def append(
    runtime: Runtime,
    stream: Stream,
    function: Function,
    touched: Any,
    arguments: list[Any],
    options: dict[str, Any],
    result: Any,
) -> None:
    """Record a call on addresses alone, so that it keeps no array alive."""
    given = without_owners(arguments)
    named = without_owners(options)
    targets = [raw(array._array) for array in leaves(result)]

    def work() -> None:
        values = function(*given, **named)
        if targets:
            for target, value in zip(targets, flat(values), strict=True):
                target[...] = value

    runtime.append(stream, Node(work, blocks_of(touched), getattr(function, "__name__", str(function))))


def without_owners(value: Any) -> Any:
    """``value`` with its arrays replaced by views that do not keep the memory alive."""
    if isinstance(value, np.ndarray):
        return raw(value)
    if isinstance(value, (tuple, list)):
        return type(value)([without_owners(each) for each in value])
    if isinstance(value, dict):
        return {key: without_owners(each) for key, each in value.items()}
    return value


def leaves(value: Any) -> list[ndarray]:
    """The device arrays in nested tuples and lists."""
    if type(value) is ndarray:
        return [value]
    if isinstance(value, (tuple, list)):
        return [leaf for each in value for leaf in leaves(each)]
    return []


def flat(value: Any) -> list[Any]:
    """The arrays and scalars in nested tuples and lists of NumPy's results."""
    if isinstance(value, (np.ndarray, np.generic)):
        return [value]
    if isinstance(value, (tuple, list)):
        return [leaf for each in value for leaf in flat(each)]
    return []


def blocks_of(touched: Any) -> tuple[Block, ...]:
    """The blocks of the arrays in nested tuples and lists."""
    return tuple(array._memory.block for array in leaves(touched) if array._memory is not None)
