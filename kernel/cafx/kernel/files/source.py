"""Files: reading them, and writing them whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cafx.kernel.errors import CafxError

HEAD = 512
MOST_NAME = 200
"""Characters of a file's name that its draft's name repeats."""


def read_file(path: str | Path, size: int = -1) -> bytes:
    """The content of a file, or its first ``size`` bytes.

    Raises:
        CafxError: the file is missing or unreadable, or is a device or the like.
    """
    try:
        with open_file(path) as file:
            return file.read(size)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def open_file(path: str | Path) -> IO[bytes]:
    """Open a file for reading, but no device, pipe or folder, at which reading may never end.

    Raises:
        OSError: the file cannot be opened, or is no regular file.
    """
    return open(path, "rb", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise IsADirectoryError(errno.EISDIR, "Is a directory" if stat.S_ISDIR(mode) else "It is not a regular file")


def unreadable(path: str | Path, error: Exception) -> CafxError:
    r"""The error for a file that cannot be opened; explains the backslashes of a Windows path.

    Example:
        >>> print(unreadable("D:\\data", FileNotFoundError(2, "No such file or directory")))
        D:\data: cannot be read: No such file or directory; folders are separated by /, not by a backslash
    """
    reason = getattr(error, "strerror", None) or str(error)
    return CafxError(f"cannot be read: {reason}", where=shown(path), remedy=path_remedy(path))


def shown(path: str | Path) -> str:
    r"""A path or name for messages, with control characters as they are written in a prototxt.

    Example:
        >>> print(shown("D:\new"))
        D:\new
    """
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(path))


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

    A link stays, and the file it leads to is replaced; a device, such as /dev/null, is written to.

    Raises:
        CafxError: the folder is missing or the disk is full; an existing file is left unchanged.
    """
    try:
        target = Path(os.path.realpath(path))
    except ValueError as error:
        raise CafxError(f"cannot be written: {error}", where=shown(path)) from error
    draft = target.with_name(f".{target.name[:MOST_NAME]}.{secrets.token_hex(4)}.part")
    try:
        if target.is_char_device() or target.is_block_device() or target.is_fifo():
            with target.open("wb") as file:
                yield file
            return
        with draft.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        remedy = "check that the folder exists and is writable, and that there is disk space left"
        raise CafxError(f"cannot be written: {error.strerror}", where=shown(path), remedy=remedy) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
