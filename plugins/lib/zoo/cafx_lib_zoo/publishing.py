"""Writing a model as a folder that others can get."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import attrs

from cafx.kernel import CafxError
from cafx.kernel.files import open_file, unreadable
from cafx_lib_zoo.card import Card, Stated, card_text
from cafx_lib_zoo.folder import ModelFolder
from cafx_lib_zoo.names import CARDS, is_file_name
from cafx_lib_zoo.store import new_folder

CHUNK = 1 << 20


def publish(out: Path, card: Card, files: Mapping[str, Path | bytes], *, hub: bool = False) -> ModelFolder:
    """Write a folder with files and a card that states their sizes and digests.

    Args:
        out: the folder, which must not exist or be empty.
        card: what to state; its ``files`` are filled in.
        files: content of each, or the file to copy, by name.
        hub: whether the card is called README.md, as the Hugging Face Hub wants it, instead of readme.md.

    Raises:
        CafxError: the folder exists, or a file cannot be read or written; then there is no folder.
    """
    for name in files:
        if not is_file_name(name):
            raise CafxError(
                "cannot be the name of a model's file", found=repr(name)[:80], expected="letters, digits, '._+-'"
            )
    with new_folder(out) as draft:
        stated = {name: _put(content, draft / name, name == card.weights) for name, content in files.items()}
        text = card_text(attrs.evolve(card, files=stated))
        (draft / CARDS[hub]).write_text(text, "utf-8")
    return ModelFolder.read(out)


def _put(content: Path | bytes, target: Path, for_caffe: bool) -> Stated:
    """Write a file and return what it is; Caffe's own script compares the SHA-1 of weights."""
    if isinstance(content, bytes):
        target.write_bytes(content)
    else:
        try:
            with open_file(content) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file, CHUNK)
        except OSError as error:
            raise unreadable(content, error) from None
    with target.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        sha1 = hashlib.file_digest(file, "sha1").hexdigest() if for_caffe else None
    return Stated(target.stat().st_size, sha256, sha1)
