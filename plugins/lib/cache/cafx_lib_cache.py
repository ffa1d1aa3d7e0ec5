"""Compiled code on disk, kept between runs.

Cached code is executed, so only code that this user wrote is read: the folder and its files must belong to
the user, and neither group nor others may write to them. Without such a folder there is no cache. No failure of
the disk is an error; the code is then made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import attrs

MAGIC = b"cafx kernel 1\n"
CHECKSUM_BYTES = hashlib.sha256().digest_size
HEADER_BYTES = len(MAGIC) + CHECKSUM_BYTES
LIMIT = 256 << 20
"""Largest total size of all entries, in bytes."""
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def default_folder(kind: str) -> Path | None:
    """The folder of one kind of entries, or None if the cache is disabled.

    It is called like the kind, in ``$CAFX_CACHE``, else in ``$XDG_CACHE_HOME/cafx`` or ``~/.cache/cafx``. An empty
    ``CAFX_CACHE`` disables the cache.
    """
    root = os.environ.get("CAFX_CACHE")
    if root is not None:
        return Path(root, kind) if root else None
    stated = os.environ.get("XDG_CACHE_HOME")
    with contextlib.suppress(RuntimeError):  # no home directory
        return (Path(stated) if stated else Path.home() / ".cache") / "cafx" / kind
    return None


@attrs.frozen
class Cache:
    """Entries of bytes in one folder.

    Several processes may use it at the same time.

    Args:
        folder: created on first use, with mode 0700; None: nothing is kept.
        limit: largest total size in bytes; the oldest entries beyond it are removed.
    """

    folder: Path | None
    limit: int = LIMIT

    def get(self, key: str) -> bytes | None:
        """The entry of a key, or None. A damaged or foreign entry is removed."""
        with contextlib.suppress(OSError), self._opened() as folder:
            entry = _read(key, folder, self.limit)
            code = entry[HEADER_BYTES:]
            if entry[:HEADER_BYTES] == _header(key, code):
                return code
            os.unlink(key, dir_fd=folder)
        return None

    def put(self, key: str, code: bytes) -> None:
        """Store an entry; a failure is ignored."""
        with contextlib.suppress(OSError), self._opened() as folder:
            temporary = f".{key}.{secrets.token_hex(8)}"
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_header(key, code) + code)
                os.rename(temporary, key, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(temporary, dir_fd=folder)
                raise
            self._trim(folder)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder, relative to which files are opened.

        Raises:
            OSError: the folder is missing or not private to the user.
        """
        if self.folder is None or not hasattr(os, "geteuid"):
            raise FileNotFoundError
        self.folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.folder.parent, self.folder):
            path.mkdir(0o700, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if not _is_private(os.fstat(descriptor)):
                raise PermissionError
            yield descriptor
        finally:
            os.close(descriptor)

    def _trim(self, folder: int) -> None:
        """Remove the oldest files beyond the limit."""
        total = 0
        files = [(os.stat(name, dir_fd=folder, follow_symlinks=False), name) for name in os.listdir(folder)]
        for status, name in sorted(files, key=lambda file: file[0].st_mtime_ns, reverse=True):
            total += status.st_size
            if total > self.limit:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)


def _header(key: str, code: bytes) -> bytes:
    return MAGIC + hashlib.sha256(key.encode() + code).digest()


def _read(key: str, folder: int, limit: int) -> bytes:
    """The content of a file; empty unless it is a private file of at most ``limit`` bytes."""
    descriptor = os.open(key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        sound = stat.S_ISREG(status.st_mode) and _is_private(status) and status.st_size <= limit
        return file.read() if sound else b""


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & OTHERS_WRITE
