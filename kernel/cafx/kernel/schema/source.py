"""Reading input files and naming the content of files in an unexpected format."""

from __future__ import annotations

from pathlib import Path

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
