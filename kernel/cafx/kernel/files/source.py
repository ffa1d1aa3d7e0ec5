"""Files: reading them, and writing them whole or not at all."""

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
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def unreadable(path: str | Path, error: Exception) -> CafxError:
    r"""The error for a file that cannot be opened; explains the backslashes of a Windows path.

    Example:
        >>> print(unreadable("D:\\data", FileNotFoundError(2, "No such file or directory")))
        D:\data: cannot be read: No such file or directory; folders are separated by /, not by a backslash
    """
    reason = getattr(error, "strerror", None) or str(error)
    return CafxError(f"cannot be read: {reason}", where=shown(path), remedy=path_remedy(path))


def shown(path: str | Path) -> str:
    r"""A path for messages, with control characters as they are written in a prototxt.

    Example:
        >>> print(shown("D:\new"))
        D:\new
    """
    return "".join(each if each.isprintable() or each > "\x7f" else repr(each)[1:-1] for each in str(path))


def path_remedy(path: str | Path) -> str:
    """What to do about a path at which there is nothing."""
    text = str(path)
    if shown(text) != text:
        return "in a prototxt a backslash begins an escape, such as \\n or \\t: write the path with / or with \\\\"
    return "folders are separated by /, not by a backslash" if "\\" in text else "check the path"


def read_head(path: str | Path) -> bytes:
    """The first `HEAD` bytes of a file, enough to detect its format.

    Raises:
        CafxError: the file is missing or unreadable.
    """
    return read_file(path, HEAD)


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
