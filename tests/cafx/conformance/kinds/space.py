"""Room for files: a folder that vanishes, and a disk that is full."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CAN_LIMIT = sys.platform != "win32"
"""Whether the size of files can be limited."""


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is removed at the end of the block."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@contextmanager
def no_space(most: int = 1) -> Iterator[None]:
    """Let no file of this process grow beyond some bytes, which is an OSError, as on a full disk.

    Args:
        most: the bytes.

    Example:
        >>> with folder() as place, no_space(4):
        ...     _ = (place / "file").write_bytes(b"five!")
        Traceback (most recent call last):
        ...
        OSError: [Errno 27] File too large
    """
    if sys.platform == "win32":
        raise NotImplementedError("the system cannot limit the size of files")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
