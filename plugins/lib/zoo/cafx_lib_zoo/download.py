"""Downloads that can be resumed, verified before they have their name.

A file is written under another name, ``….part``; if it exists, only what it lacks is asked for (HTTP's ``Range``,
RFC 9110 section 14). What a server says of lengths and ranges is compared with what the card states and never
trusted: at most the stated size is read, and the digest is that of what is on disk.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import attrs

from cafx.kernel import CafxError
from cafx.kernel.files import open_file, unreadable
from cafx_lib_zoo.card import Stated
from cafx_lib_zoo.names import is_url, shown_url
from cafx_lib_zoo.web import Interrupted, Limits, Web

Report = Callable[[str, int, int | None], None]
"""Receives a file's name, the bytes that are on disk and the size, None if it is unknown."""
CHUNK = 1 << 18
PROGRESS = 1 << 20
"""Bytes after which a connection counts as useful, and does not use up an attempt."""
RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
AGAIN = "run the same command again to continue"
PART, OK, PARTIAL, UNSATISFIABLE = ".part", 200, 206, 416


def fetch(
    name: str, stated: Stated, places: Sequence[str], part: Path, web: Web, report: Report = lambda *_: None
) -> str:
    """Bring a file to ``part``, from the first place that has it, and verify it.

    Args:
        name: its name, for errors and ``report``.
        stated: its size and digest; without a digest it is not verified.
        places: addresses and paths, in order of preference.
        part: where to write; what is there already is continued.
        web: reads addresses.
        report: is told of progress.

    Returns:
        The SHA-256 of the file.

    Raises:
        CafxError: no place has the file as stated. What was written stays, unless it is wrong.
    """
    if stated.size is not None:
        _check_space(name, stated.size, part, web.limits)
    errors: list[CafxError] = []
    for place in places:
        try:
            return _Transfer(name, stated, place, part, web, report).run()
        except CafxError as error:
            errors.append(error)
    if len(errors) > 1:
        errors[0].remedy = f"nor from {len(errors) - 1} other places: {errors[-1].where}: {errors[-1].message}"
    raise errors[0]


def digest(path: Path, kind: str = "sha256") -> str:
    """The digest of a file.

    Raises:
        CafxError: it cannot be read.
    """
    found = hashlib.new(kind, usedforsecurity=kind != "sha1")
    try:
        with open_file(path) as file:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                found.update(chunk)
            return found.hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def mismatch(stated: Stated, path: Path) -> tuple[str, str] | None:
    """What a file is and what it should be, if they differ: its size or digest.

    Args:
        stated: what it should be.
        path: the file.

    Raises:
        CafxError: it cannot be read.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from None
    if stated.size not in (None, size):
        return f"{size:,} bytes", f"{stated.size:,} bytes"
    for kind, expected in (("sha256", stated.sha256), ("sha1", stated.sha1)):
        if expected is not None:
            found = digest(path, kind)
            if found != expected:
                return f"{kind} {found}", f"{kind} {expected}"
    return None


def _check_space(name: str, size: int, part: Path, limits: Limits) -> None:
    if size > limits.largest:
        remedy = "allow it with --max-size, if you want it"
        raise CafxError("is too large", where=name, found=f"{size:,} bytes", expected=limits.stated, remedy=remedy)
    free = shutil.disk_usage(part.parent).free + (part.stat().st_size if part.is_file() else 0)
    if size > free:
        raise CafxError("does not fit on the disk", where=str(part.parent), found=f"{free:,} bytes free", expected=size)


@attrs.define
class _Transfer:
    """One file from one place.

    Attributes:
        resumed: whether bytes of an earlier connection are part of the file.
    """

    name: str
    stated: Stated
    place: str
    part: Path
    web: Web
    report: Report
    resumed: bool = False

    @property
    def _where(self) -> str:
        return shown_url(self.place)

    @property
    def _most(self) -> int:
        """The most bytes the file may have."""
        return self.web.limits.largest if self.stated.size is None else self.stated.size

    def run(self) -> str:
        """Transfer and verify the file; once more from its beginning, if what was continued is another file."""
        self._transfer()
        wrong = mismatch(self.stated, self.part)
        if wrong and self.resumed:
            self._start_over()
            self._transfer()
            wrong = mismatch(self.stated, self.part)
        if wrong:
            self._start_over()
            found, expected = wrong
            remedy = "the file was changed or damaged, do not use it; ask its publisher"
            raise CafxError(
                "is not the file that the card states", where=self._where, found=found, expected=expected, remedy=remedy
            )
        return self.stated.sha256 or digest(self.part)

    def _start_over(self) -> None:
        self.part.unlink(missing_ok=True)
        self.resumed = False

    def _transfer(self) -> None:
        if not is_url(self.place):
            self._copy()
            return
        failures = 0
        while True:
            before = self._size()
            try:
                self._read_rest()
            except Interrupted as error:
                failures = 1 if self._size() - before >= PROGRESS else failures + 1
                if failures >= self.web.limits.attempts:
                    remedy = AGAIN if self._size() else None
                    raise CafxError(str(error), where=self._where, remedy=remedy) from None
                time.sleep(self.web.limits.pause * failures)
            else:
                return

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _copy(self) -> None:
        """Copy a file of this machine."""
        try:
            with open_file(self.place) as source:
                size = os.fstat(source.fileno()).st_size
                self._check_size(size)
                with self._opened("wb") as target:
                    self._write(target, iter(lambda: source.read(CHUNK), b""), 0, size)
        except OSError as error:
            raise unreadable(self.place, error) from None

    def _read_rest(self) -> None:
        """Ask for what is missing, and append it.

        Raises:
            Interrupted: the connection ended early; what came is kept.
            CafxError: the server does not have the file, or has another one.
        """
        have = self._size()
        if have > self._most or not self.stated.has_digest:
            self._start_over()
            have = 0
        if have and have == self.stated.size:
            self.resumed = True
            return
        with self.web.opened(self.place, start=have) as response:
            begin, size = self._announced(response, have)
            chunks = self.web.chunks(response, self.place)
            with self._opened("ab" if begin else "wb") as file, chunks as received:
                self.resumed = begin > 0
                end = self._write(file, received, begin, size)
        if size is not None and end < size:
            raise Interrupted(f"ends after {end:,} of {size:,} bytes")

    def _announced(self, response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
        """Where a response begins in the file, and the size of the file."""
        if response.status == UNSATISFIABLE:
            self._start_over()
            raise Interrupted("has no more bytes than are here already")
        if response.status == PARTIAL:
            found = RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not have or not found or int(found[1]) != have:
                self._start_over()
                raise Interrupted("sends another part of the file than it was asked for")
            size = None if found[3] == "*" else int(found[3])
            self._check_size(size)
            return have, size if size is not None else self.stated.size
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        self._check_size(size)
        return 0, size if size is not None else self.stated.size

    def _check_size(self, size: int | None) -> None:
        """Refuse a size that cannot be right before anything is read."""
        if size is None or size == self.stated.size:
            return
        if self.stated.size is not None:
            expected = f"{self.stated.size:,} bytes"
            message = "is not the file that the card states"
            raise CafxError(message, where=self._where, found=f"{size:,} bytes", expected=expected)
        if size > self.web.limits.largest:
            remedy = "allow it with --max-size, if you want it"
            raise CafxError(
                "is too large",
                where=self._where,
                found=f"{size:,} bytes",
                expected=self.web.limits.stated,
                remedy=remedy,
            )

    def _opened(self, mode: str) -> IO[bytes]:
        """The part, which must not be a link."""
        extra = os.O_APPEND if mode == "ab" else os.O_TRUNC
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | extra
        try:
            return open(self.part, mode, opener=lambda path, _: os.open(path, flags, 0o600))
        except OSError as error:
            remedy = "remove it, or name another folder in CAFX_CACHE"
            raise CafxError(f"cannot be written: {error.strerror}", where=str(self.part), remedy=remedy) from None

    def _write(self, file: IO[bytes], chunks: Iterator[bytes], begin: int, size: int | None) -> int:
        """Write chunks, and return the position after the last."""
        position = begin
        self.report(self.name, position, size)
        try:
            for chunk in chunks:
                if position + len(chunk) > self._most:
                    found, expected = "more than that", f"{self._most:,} bytes"
                    raise CafxError(
                        "is not the file that the card states", where=self._where, found=found, expected=expected
                    )
                file.write(chunk)
                file.flush()
                position += len(chunk)
                self.report(self.name, position, size)
            os.fsync(file.fileno())
        except OSError as error:
            raise CafxError(f"cannot be written: {error.strerror}", where=str(self.part), remedy=AGAIN) from None
        return position
