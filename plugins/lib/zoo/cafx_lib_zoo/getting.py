"""Getting a model from a source: card first, then each file, verified, into a folder that is complete or not there."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

from cafx.kernel import CafxError
from cafx_lib_zoo.card import DEPLOY, Card, Stated, parse_card
from cafx_lib_zoo.download import Report, fetch, mismatch
from cafx_lib_zoo.folder import ModelFolder
from cafx_lib_zoo.names import is_file_name
from cafx_lib_zoo.sources import Source
from cafx_lib_zoo.store import Store, fill, new_folder
from cafx_lib_zoo.web import Missing

CONVENTIONAL = (DEPLOY, "train_val.prototxt", "solver.prototxt")
"""The prototxts that a model of Caffe's zoo has, or some of them."""
USEFUL = (".prototxt", ".caffemodel", ".h5", ".safetensors", ".txt", ".binaryproto", ".json")
"""Endings of the files that belong to a model whose card does not list them."""
TO_SKIP = "get it all the same with --no-verify, if you trust its source"


@attrs.frozen
class Wish:
    """What to get, and how.

    Attributes:
        source: where from.
        to: a folder to copy the model to; None for the store's own.
        digest: SHA-256 that the card must have; None for any.
        verify: whether a file without digest is refused.
        report: is told of progress.
        notice: is told what a person should know.
    """

    source: Source
    to: Path | None = None
    digest: str | None = None
    verify: bool = True
    report: Report = lambda *_: None
    notice: Callable[[str], None] = lambda _: None


def get(wish: Wish, store: Store | None) -> ModelFolder:
    """Get a model; what the store has already is verified and not read again.

    Args:
        wish: what to get.
        store: where downloads are kept; None for nowhere, then the wish must name a folder.

    Raises:
        CafxError: the model cannot be read, is not what its card states, is too large, or has no digests. What was
            downloaded stays in the store, and the next attempt continues there.
    """
    readme = wish.source.card()
    digest = hashlib.sha256(readme).hexdigest()
    if wish.digest not in (None, digest):
        remedy = "its publisher changed it: compare, then use its present digest"
        raise CafxError(
            "the card is another one", where=wish.source.title, found=digest, expected=wish.digest, remedy=remedy
        )
    card = parse_card(readme, f"{wish.source.title}: readme.md")
    if wish.to is not None and wish.to.exists() and (not wish.to.is_dir() or any(wish.to.iterdir())):
        raise CafxError("already exists", where=str(wish.to), remedy="choose another folder, or remove it")
    with _opened(store, wish.to) as opened:
        folder = opened.folder(card.name, digest)
        if not _is_there(folder, readme, wish):
            files = _files(card, wish)
            paths = {name: _kept(name, stated, opened, card, wish) for name, stated in files.items()}
            with new_folder(folder, replace=True) as draft:
                fill(draft, readme, {name: path for name, path in paths.items() if path}, link=True)
        if wish.to is None:
            return ModelFolder.read(folder)
        with new_folder(wish.to) as draft:
            kept = {path.name: path for path in folder.iterdir() if is_file_name(path.name)}
            fill(draft, readme, kept, link=False)
        return ModelFolder.read(wish.to)


@contextmanager
def _opened(store: Store | None, to: Path | None) -> Iterator[Store]:
    """The store, or else a temporary one beside the folder that is wanted."""
    if store is not None:
        yield store
        return
    if to is None:
        remedy = "name a folder with --to, or set CAFX_CACHE to one"
        raise CafxError("there is no cache to put the model in", found="an empty CAFX_CACHE", remedy=remedy)
    to.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        yield Store(folder / "models")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_there(folder: Path, readme: bytes, wish: Wish) -> bool:
    """Whether the store has the model, undamaged."""
    if not folder.is_dir():
        return False
    try:
        model = ModelFolder.read(folder)
    except CafxError:
        return False
    damaged = model.damaged()
    for error in damaged:
        wish.notice(f"{error}; it is got again")
    return model.readme == readme and not damaged and (model.card.is_complete or not wish.verify)


def _files(card: Card, wish: Wish) -> Mapping[str, Stated]:
    """The files to get, with what card and source state of each."""
    listed = wish.source.names()
    files = dict(card.files)
    if not card.is_complete:
        found = listed if listed is not None else dict.fromkeys(CONVENTIONAL, Stated())
        wanted = {name for name in found if is_file_name(name) and name.lower().endswith(USEFUL)}
        files = {**{name: found[name] for name in sorted(wanted)}, **files}
    for name, known in (listed or {}).items():
        if name in files and not files[name].has_digest and known.sha256:
            files[name] = attrs.evolve(files[name], sha256=known.sha256, size=known.size)
    bare = [name for name, stated in files.items() if not stated.has_digest]
    if bare and wish.verify:
        shown = ", ".join(bare[:4]) + (f" and {len(bare) - 4} more" if len(bare) > 4 else "")
        message = f"the card has no digest of {shown}, so that nothing shows whether they are what was published"
        raise CafxError(message, where=wish.source.title, remedy=TO_SKIP)
    limits, size = wish.source.web.limits, sum(stated.size or 0 for stated in files.values())
    if size > limits.largest:
        remedy = "allow it with --max-size, if you want it"
        raise CafxError(
            "is too large", where=wish.source.title, found=f"{size:,} bytes", expected=limits.stated, remedy=remedy
        )
    return files


def _kept(name: str, stated: Stated, store: Store, card: Card, wish: Wish) -> Path | None:
    """A file in the store; None for a conventional one that the source does not have."""
    places = _places(name, stated, card, wish.source)
    key = stated.sha256 or stated.sha1 or hashlib.sha256(places[0].encode()).hexdigest()[:40]
    with store.part(key, lambda: wish.notice(f"waiting for another process that downloads {name}")) as part:
        if stated.sha256 and _is_kept(store.files / stated.sha256, stated):
            wish.report(name, stated.size or 0, stated.size)
            return store.files / stated.sha256
        try:
            found = fetch(name, stated, places, part, wish.source.web, wish.report)
        except Missing:
            if name in CONVENTIONAL and name not in card.files and name != card.net:
                return None
            raise
        return store.keep(part, found)


def _places(name: str, stated: Stated, card: Card, source: Source) -> list[str]:
    """Where a file may be: at the source, at mirrors, and where the card says that it is."""
    listed = source.names()
    here = [source.found(name)] if listed is None or name in listed else []
    places = [*here, *(f"{mirror.rstrip('/')}/{name}" for mirror in card.mirrors), *stated.urls]
    if not places:
        raise CafxError(f"has no file '{name}', which its card names", where=source.title)
    return list(dict.fromkeys(places))


def _is_kept(path: Path, stated: Stated) -> bool:
    """Whether the store has a file; a damaged one is removed."""
    if not path.is_file():
        return False
    if mismatch(stated, path):
        path.unlink()
        return False
    return True
