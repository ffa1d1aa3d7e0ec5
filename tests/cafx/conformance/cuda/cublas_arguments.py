"""Arguments of a C function as ctypes would pass them.

Without ``argtypes``, ctypes passes a plain int as a C int: an address or a 64-bit size is cut off without a word. Here
that is an AssertionError. ``byref``, pointers and ctypes scalars are read as C would read them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

INT_LIMIT = 1 << 31
WIDE = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_longlong, ctypes.c_int64, ctypes.c_long)
REFERENCE: Any = type(ctypes.byref(ctypes.c_int()))


class Arguments:
    """The arguments of one call, read from left to right.

    Args:
        function: the function's name, for messages.
        values: the arguments.
        types: the function's ``argtypes``, if set.

    Example:
        >>> arguments = Arguments("f", (ctypes.c_longlong(1 << 40), 3), None)
        >>> arguments.wide(), arguments.integer()
        (1099511627776, 3)
    """

    def __init__(self, function: str, values: Sequence[Any], types: Sequence[Any] | None) -> None:
        self.function = function
        self._values = values
        self._types = types
        self._at = 0

    def _next(self) -> Any:
        if self._at >= len(self._values):
            raise AssertionError(f"{self.function} has more than the {len(self._values)} arguments that were given")
        self._at += 1
        return self._values[self._at - 1]

    def _declared(self) -> Any:
        return self._types[self._at - 1] if self._types is not None else None

    def finish(self) -> None:
        """Raise AssertionError if arguments are left."""
        assert self._at == len(self._values), f"{self.function} takes {self._at} arguments, not {len(self._values)}"

    def integer(self) -> int:
        """The next argument, a C int."""
        value = self._number(self._next())
        assert -INT_LIMIT <= value < INT_LIMIT, f"{self.function}: argument {self._at}, {value}, is no C int"
        return value

    def wide(self) -> int:
        """The next argument, a 64-bit integer."""
        value = self._next()
        number = self._number(value)
        if isinstance(value, int) and self._declared() not in WIDE:
            cut = (
                f"{self.function}: argument {self._at}: ctypes passes a plain int as 32 bits; use a 64-bit ctypes type"
            )
            assert -INT_LIMIT <= number < INT_LIMIT, cut
        return number

    def pointer(self) -> int:
        """The next argument, an address."""
        value = self._next()
        if isinstance(value, REFERENCE | ctypes._Pointer | ctypes.Array):
            return ctypes.cast(value, ctypes.c_void_p).value or 0
        number = self._number(value)
        if isinstance(value, int) and self._declared() is not ctypes.c_void_p:
            cut = f"{self.function}: argument {self._at}: ctypes passes a plain int as 32 bits; use c_void_p"
            assert 0 <= number < INT_LIMIT, cut
        return number

    def _number(self, value: Any) -> int:
        if value is None:
            return 0
        found = value.value if isinstance(value, ctypes._SimpleCData) else value
        if found is None:
            return 0
        if not isinstance(found, int):
            raise ctypes.ArgumentError(f"{self.function}: argument {self._at}: {value!r} is not an integer")
        return int(found)

    def scalar(self) -> Callable[[Any], float | None]:
        """The next argument, a pointer to a number whose type a later argument tells; None for a null pointer."""
        value, at = self._next(), self._at
        target = referred(value)
        if target is None:
            self._at -= 1
            address = self.pointer()
            return lambda kind: ctypes.cast(address, ctypes.POINTER(kind)).contents.value if address else None

        def read(kind: Any) -> float | None:
            expected = f"{self.function}: argument {at} points to {type(target).__name__}, read as {kind.__name__}"
            assert isinstance(target, kind), expected
            return float(target.value)

        return read

    def store(self, number: int) -> None:
        """Write a handle through the next argument, a pointer to it."""
        target = referred(self._next())
        if not isinstance(target, ctypes.c_void_p):
            raise ctypes.ArgumentError(f"{self.function}: argument {self._at} is not a pointer to c_void_p")
        target.value = number


def referred(value: Any) -> Any:
    """What ``byref`` or a pointer object points to; None for other arguments."""
    if isinstance(value, REFERENCE):
        return value._obj
    return value.contents if isinstance(value, ctypes._Pointer) and value else None
