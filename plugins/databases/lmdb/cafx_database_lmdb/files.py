"""The files of an LMDB database, and the errors they cause."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb

from cafx.kernel import CafxError
from cafx_database_lmdb.pages import Damaged, Meta, current, read_metas
from cafx_lib_feed.database import damaged

FILE, LOCK = "data.mdb", "lock.mdb"
DISK_IS_FULL = 1 << 16
"""So few bytes left on a disk count as none."""


def latest_meta(path: Path) -> Meta:
    """The meta page of the latest transaction, checked.

    Raises:
        CafxError: the file is empty or damaged, or cannot be read.
    """
    try:
        if not (path / FILE).stat().st_size:
            raise damaged(path, f"{FILE} is empty")
        return current(read_metas(path / FILE))
    except Damaged as error:
        raise damaged(path, f"{FILE}: {error}") from None
    except OSError as error:
        raise CafxError(f"the database cannot be opened: {error.strerror}", where=str(path)) from None


def may_lock(path: Path) -> bool:
    """Whether to use the lock file: it can be written, and is or will be a file of this folder."""
    lock = path / LOCK
    is_own = lock.is_file() and not lock.is_symlink()
    return os.access(path, os.W_OK) and (is_own or not os.path.lexists(lock))


def open_error(path: Path, error: Exception) -> CafxError:
    """The error for a database that LMDB does not open."""
    if isinstance(error, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError)):
        return damaged(path, error)
    return CafxError(f"the database cannot be opened: {error}", where=str(path))


def write_error(path: Path, error: Exception) -> CafxError:
    """The error for a database that cannot be written; LMDB calls a full disk an input or output error."""
    space = os.statvfs(path)
    if space.f_bavail * space.f_frsize < DISK_IS_FULL:
        return CafxError("cannot be written: the disk is full", where=str(path), remedy="free some space")
    return CafxError(f"cannot be written: {error}", where=str(path))
