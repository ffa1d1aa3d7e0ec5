"""Reading files from outside, and telling what a file that is not what it should be seems to be."""

from __future__ import annotations

from pathlib import Path

from cafx.kernel.errors import CafxError

HEAD = 512


def read_file(path: str | Path, size: int = -1) -> bytes:
    """The bytes of a file, or its first ``size``; CafxError where it is missing or unreadable."""
    try:
        with Path(path).open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise CafxError(f"cannot be read: {error.strerror}", where=str(path), remedy="check the path") from None


def read_head(path: str | Path) -> bytes:
    """The first bytes of a file, by which its kind is known."""
    return read_file(path, HEAD)


def sniff(data: bytes) -> str:
    """What a file that is not what it should be seems to be, for error messages."""
    head = data[:64].lstrip().lower()
    if not data:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it stands for"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page"
    if head.startswith((b"\x89hdf",)):
        return "an HDF5 file"
    return f"a file starting {data[:8]!r}"
