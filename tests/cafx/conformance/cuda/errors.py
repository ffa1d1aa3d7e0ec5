"""The exceptions of the stand-in CUDA, named and shaped like CuPy's."""

from __future__ import annotations

from typing import Any

RUNTIME_ERRORS = {
    1: ("cudaErrorInvalidValue", "invalid argument"),
    2: ("cudaErrorMemoryAllocation", "out of memory"),
    101: ("cudaErrorInvalidDevice", "invalid device ordinal"),
    700: ("cudaErrorIllegalAddress", "an illegal memory access was encountered"),
    900: ("cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"),
    901: ("cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture"),
    904: ("cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"),
}
DRIVER_ERRORS = {
    1: ("CUDA_ERROR_INVALID_VALUE", "invalid argument"),
    500: ("CUDA_ERROR_NOT_FOUND", "named symbol not found"),
}


class CUDARuntimeError(RuntimeError):
    """A refusal of the CUDA runtime.

    Args:
        status: the error's number, or its name (``"cudaErrorStreamCaptureUnsupported"``).
        detail: what else there is to say.
    """

    def __init__(self, status: int | str, detail: str = "") -> None:
        self.status = status if isinstance(status, int) else status_of(status)
        name, text = RUNTIME_ERRORS.get(self.status, (f"cudaError{self.status}", "unknown error"))
        super().__init__(f"{name}: {text}" + (f" ({detail})" if detail else ""))

    def __reduce__(self) -> Any:
        return type(self), (self.status,)


class CUDADriverError(RuntimeError):
    """A refusal of the CUDA driver, which loads and launches kernels."""

    def __init__(self, status: int, detail: str = "") -> None:
        self.status = status
        name, text = DRIVER_ERRORS.get(status, (f"CUDA_ERROR_{status}", "unknown error"))
        super().__init__(f"{name}: {text}" + (f" ({detail})" if detail else ""))


class CompileException(Exception):
    """CUDA C++ that does not compile."""

    def __init__(self, message: str, source: str, name: str, options: tuple[str, ...], backend: str = "nvrtc") -> None:
        super().__init__(message)
        self._msg = message
        self.source = source
        self.name = name
        self.options = options
        self.backend = backend

    def get_message(self) -> str:
        """What the compiler said."""
        return self._msg


class OutOfMemoryError(MemoryError):
    """No room on the device.

    Args:
        size: the bytes asked for.
        total: the bytes in use.
        limit: the bytes there are.
    """

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, "
            f"limit set to: {limit:,} bytes)."
        )
        self._size = size
        self._total = total
        self._limit = limit


class Deadlock(RuntimeError):
    """Threads of a block that wait for one another for ever."""


def status_of(name: str) -> int:
    """The number of an error by its name."""
    return next(number for number, (known, _) in RUNTIME_ERRORS.items() if known == name)
