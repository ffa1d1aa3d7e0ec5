"""Files: reading them, naming unexpected content, and writing them whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cafx.kernel.errors import CafxError

HEAD = 512


def read_file(path: str | Path, size: int = -1) -> bytes:
    """The content of a file, or its first ``size`` bytes.

    Raises:
        CafxError: the file is missing or unreadable.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise CafxError(f"cannot be read: {error.strerror}", where=str(path), remedy="check the path") from None


def read_head(path: str | Path) -> bytes:
    """The first `HEAD` bytes of a file, enough to detect its format.

    Raises:
        CafxError: the file is missing or unreadable.
    """
    return read_file(path, HEAD)


def sniff(data: bytes) -> str:
    """Describe the content of a file in an unexpected format, for error messages.

    Example:
        >>> sniff(b"<html>404</html>")
        'a web page'
    """
    head = data[:64].lstrip().lower()
    if not data:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer instead of the file"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page"
    if head.startswith((b"\x89hdf",)):
        return "an HDF5 file"
    return f"a file starting {data[:8]!r}"


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name and rename it to ``path`` once it is complete and on disk.

    Raises:
        CafxError: the folder is missing or the disk is full; an existing file is left unchanged.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}",
            where=str(path),
            remedy="check that the folder exists and is writable, and that there is disk space left",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
