"""Downloaded models on disk: files by digest, and a folder per model.

``$CAFX_CACHE/models`` (see `cafx_lib_cache`) holds ``files/SHA256``, complete and verified; ``files/….part``, of which
a later download continues; and ``folders/NAME-DIGEST``, the models as they are used, whose files are links to those
in ``files`` where the disk can link. The digest is that of the card, so that a changed card is another model.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write
from cafx_lib_cache import default_folder
from cafx_lib_zoo.names import CARDS

KIND = "models"
DIGITS = 24
"""Digits of the card's digest in a folder's name."""
MOST_NAME = 60
READ_ONLY = 0o444


@attrs.frozen
class Store:
    """A folder of downloaded models.

    Attributes:
        root: the folder; created on first use, with mode 0700.
    """

    root: Path

    @classmethod
    def default(cls) -> Store | None:
        """The store of this user; None if caching is disabled."""
        folder = default_folder(KIND)
        return cls(folder) if folder else None

    @property
    def files(self) -> Path:
        """The folder of files by digest."""
        return self._folder("files")

    @property
    def folders(self) -> Path:
        """The folder of models."""
        return self._folder("folders")

    def _folder(self, name: str) -> Path:
        path = self.root / name
        try:
            for each in (self.root.parent, self.root, path):
                each.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as error:
            remedy = "name another folder in CAFX_CACHE"
            raise CafxError(f"cannot be created: {error.strerror}", where=str(path), remedy=remedy) from None
        return path

    def folder(self, name: str, digest: str) -> Path:
        """Where the model with a card of this digest is kept.

        Example:
            >>> Store(Path("/tmp/s")).folder("Squeeze Net/1.0", 64 * "a").name
            'squeeze-net-1.0-aaaaaaaaaaaaaaaaaaaaaaaa'
        """
        return self.folders / f"{slug(name)}-{digest[:DIGITS]}"

    def models(self) -> list[Path]:
        """The folders of all models."""
        folder = self.root / "folders"
        return sorted(each for each in folder.iterdir() if has_card(each)) if folder.is_dir() else []

    @contextlib.contextmanager
    def part(self, key: str, waiting: Callable[[], None]) -> Iterator[Path]:
        """The unfinished file of a key, which no other process writes to meanwhile.

        Args:
            key: what identifies the file that is wanted.
            waiting: called if another process writes to it.
        """
        path = self.files / f"{key}.part"
        descriptor = os.open(self.files / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(descriptor)

    def keep(self, part: Path, digest: str) -> Path:
        """Give a verified file its name."""
        path = self.files / digest
        part.chmod(READ_ONLY)
        part.replace(path)
        return path


def slug(name: str) -> str:
    """A name as part of a path."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    return plain[:MOST_NAME] or "model"


def has_card(folder: Path) -> bool:
    """Whether a folder is that of a model."""
    return any((folder / name).is_file() for name in CARDS)


@contextlib.contextmanager
def new_folder(target: Path, replace: bool = False) -> Iterator[Path]:
    """A folder that gets its name when it is complete, and is removed if it does not get that far.

    Args:
        target: its name.
        replace: whether a folder of that name is replaced; otherwise it must be empty or not there.

    Raises:
        CafxError: there is something already, or the folder cannot be written.
    """
    try:
        if not replace and (target.is_symlink() or (target.exists() and not _is_empty(target))):
            raise CafxError("already exists", where=str(target), remedy="choose another name, or remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name[:MOST_NAME]}.", dir=target.parent))
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}", where=str(target), remedy="choose another folder"
        ) from None
    try:
        yield draft
        draft.chmod(0o755)
        _exchange(draft, target)
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}", where=str(target), remedy="choose another folder"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _exchange(draft: Path, target: Path) -> None:
    """Rename ``draft``; what has its name is moved away first and then removed."""
    if _is_empty(target) or not target.exists():
        draft.replace(target)
        return
    old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
    target.replace(old)
    draft.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def fill(folder: Path, card: bytes, files: Mapping[str, Path], link: bool) -> None:
    """Put a card and files into a folder.

    Args:
        folder: the folder.
        card: the readme.
        files: where each is now, by name.
        link: whether hard links will do, which take no space.
    """
    with atomic_write(folder / CARDS[0]) as file:
        file.write(card)
    for name, path in files.items():
        if link:
            with contextlib.suppress(OSError):  # another disk, or one that cannot link
                os.link(path, folder / name)
                continue
        shutil.copyfile(path, folder / name)
