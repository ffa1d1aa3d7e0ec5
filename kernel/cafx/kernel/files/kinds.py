"""Recognising what a file contains by its first bytes, and saying where a file of that kind belongs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs

from cafx.kernel.errors import CafxError, UnknownNameError
from cafx.kernel.files.source import read_file


@attrs.frozen
class Kind:
    """A kind of content.

    Attributes:
        name: what to call a file with it.
        belongs: where such a file is used, or how to get what is wanted from it.
    """

    name: str
    belongs: str = ""


class Kinds:
    """The kinds that are recognised."""

    NET = Kind("the prototxt of a net", "it belongs where a net is asked for, or in net: of a solver")
    SOLVER = Kind("the prototxt of a solver", "it belongs to --solver")
    LABEL_MAP = Kind("a label map", "it belongs to label_map_file: of a layer that reads annotations")
    WEIGHTS = Kind("a caffemodel", "it belongs to --weights")
    STATE = Kind("a solverstate", "it belongs to --snapshot, to resume training")
    ARRAY = Kind("a binaryproto", "it belongs to mean_file: of transform_param")
    HDF5 = Kind(
        "an HDF5 file", "name it in a text file, one a line, and that text file in source: of an HDF5Data layer"
    )
    NPY = Kind(
        "a file of NumPy arrays", "for a mean, write a binaryproto of it with caffe.io.array_to_blobproto(array[None])"
    )
    LMDB = Kind("an LMDB database", "name its folder in source: of a Data layer with backend: LMDB")
    LEVELDB = Kind("a LevelDB database", "name its folder in source: of a Data layer with backend: LEVELDB")
    IMAGE = Kind(
        "an image", "name it, with a label, in a text file, and that text file in source: of an ImageData layer"
    )
    PAGE = Kind("a web page", "download the file itself, on GitHub by its 'raw' link")
    POINTER = Kind("a Git LFS pointer instead of the file", "fetch the file itself: git lfs pull")
    ONNX = Kind("an ONNX model", "convert it to a prototxt and a caffemodel first")
    PYTORCH = Kind("a file of PyTorch", "convert it to a caffemodel first")
    PICKLE = Kind("a Python pickle, such as PyTorch writes", "convert it to a caffemodel first")
    ARCHIVE = Kind("a compressed archive", "unpack it first")
    PYTHON = Kind("a Python file")
    EMPTY = Kind("an empty file", "download or copy it again")
    FOLDER = Kind("a folder", "name a file")


MAGIC = {
    Kinds.POINTER: (b"version https://git-lfs",),
    Kinds.HDF5: (b"\x89HDF",),
    Kinds.NPY: (b"\x93NUMPY",),
    Kinds.IMAGE: (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"RIFF"),
    Kinds.ARCHIVE: (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"),
}
HEAD = 4096
LMDB_MAGIC, LMDB_MAGIC_AT = b"\xde\xc0\xef\xbe", 16
FOLDERS = {"data.mdb": Kinds.LMDB, "CURRENT": Kinds.LEVELDB}
BITMAP = re.compile(rb"BM.{4}\0{4}", re.DOTALL)
PAGE_START = re.compile(rb"\s*<(!doctype|html|head|\?xml|!--)", re.IGNORECASE)
SOLVER_FIELDS = {
    *("net", "net_param", "train_net", "test_net", "base_lr", "lr_policy", "max_iter", "test_iter", "test_interval"),
    *("display", "momentum", "weight_decay", "stepsize", "gamma", "snapshot", "snapshot_prefix", "solver_mode"),
}
NET_FIELDS = {"layer", "layers", "input", "input_dim", "input_shape", "force_backward", "state"}
PYTHON_LINE = re.compile(r"^(import \w|from [\w.]+ import |#!.*python|def \w+\()", re.M)
WEIGHTS_FIELDS = {2, 3, 4, 8, 100}
BINARY = re.compile(r"[\0-\b\x0e-\x1f\ufffd]")


def sniff(data: bytes) -> str:
    """Describe content of an unexpected kind, for error messages.

    Example:
        >>> sniff(b"<html>404</html>")
        'a web page'
    """
    kind = kind_of(data)
    return kind.name if kind else f"a file starting {data[:8]!r}"


def kind_of(head: bytes) -> Kind | None:
    """The kind of a file that begins with the bytes ``head``; None if it is not recognised.

    Example:
        >>> kind_of(b"base_lr: 0.1").name
        'the prototxt of a solver'
    """
    if not head:
        return Kinds.EMPTY
    for kind, magic in MAGIC.items():
        if head.startswith(magic):
            return kind
    if BITMAP.match(head):
        return Kinds.IMAGE
    if PAGE_START.match(head):
        return Kinds.PAGE
    if head[LMDB_MAGIC_AT:].startswith(LMDB_MAGIC):
        return Kinds.LMDB
    if head.startswith(b"PK\3\4"):
        return Kinds.PYTORCH if b"data.pkl" in head else Kinds.NPY if b".npy" in head else Kinds.ARCHIVE
    if re.match(rb"\x80[\x02-\x05]", head):
        return Kinds.PICKLE
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    return _binary_kind(head) if BINARY.search(text[:-1]) else _text_kind(text)


def _text_kind(text: str) -> Kind | None:
    if PYTHON_LINE.search(text):
        return Kinds.PYTHON
    for field in _outer_fields(text):
        if field in NET_FIELDS:
            return Kinds.NET
        if field in SOLVER_FIELDS:
            return Kinds.SOLVER
        if field == "item":
            return Kinds.LABEL_MAP
    return None


def _outer_fields(text: str) -> list[str]:
    """The fields of a prototxt, perhaps cut off, outside all braces."""
    outer, inner = re.sub(r'"[^"\n]*"|#[^\n]*', '""', text), ""
    while outer != inner:
        outer, inner = re.sub(r"\{[^{}]*\}", ": ", outer), outer
    return re.findall(r"(\w+)\s*[:{]", re.sub(r"\{.*", ":", outer, flags=re.DOTALL))


def _binary_kind(head: bytes) -> Kind | None:
    """The kind of a protobuf message, by the numbers and types of its first fields."""
    found = _first_fields(head)
    numbers = [number for number, _ in found]
    first = dict(reversed(found))
    texts = {number: value.decode("utf-8", "replace") for number, value in first.items() if isinstance(value, bytes)}
    named = 1 in texts and not BINARY.search(texts[1])
    if numbers[:1] == [1] and named and len(numbers) > 1 and set(numbers[1:]) <= WEIGHTS_FIELDS:
        return Kinds.WEIGHTS
    if numbers[:1] in ([2], [100]) and numbers[0] in texts:
        return Kinds.WEIGHTS
    if (numbers[:1] == [7] and 7 in texts) or (numbers[:3] == [1, 2, 3] and not {1, 2, 3} & set(texts)):
        return Kinds.ARRAY
    if numbers[:1] == [1] and 1 not in texts and (2 in texts or numbers[1:2] in ([3], [7], [8])):
        return Kinds.STATE if ".caffemodel" in texts.get(2, "") or BINARY.search(texts.get(3, "")) else Kinds.ONNX
    return None


def _first_fields(head: bytes) -> list[tuple[int, int | bytes]]:
    """The numbers and values of a message's first fields, the last one perhaps cut off."""
    found: list[tuple[int, int | bytes]] = []
    position = 0
    while position < len(head):
        tag, position = _varint(head, position)
        if tag >> 3 == 0 or tag & 7 not in (0, 2):
            break
        value, position = _varint(head, position)
        if tag & 7 == 0:
            found.append((tag >> 3, value))
        else:
            found.append((tag >> 3, head[position : position + value]))
            position += value
    return found


def _varint(head: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(head) and shift < 64:
        byte = head[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            break
    return value, position


def kind_of_file(path: str | Path) -> Kind | None:
    """The kind of a file, or of a folder that holds a database; None if there is no such file.

    Example:
        >>> kind_of_file("/")
        Kind(name='a folder', belongs='name a file')
    """
    path = Path(path)
    if os.path.isdir(path):  # noqa: PTH112 - pathlib raises where a name is too long
        return next((kind for name, kind in FOLDERS.items() if (path / name).is_file()), Kinds.FOLDER)
    return kind_of(read_file(path, HEAD)) if os.path.isfile(path) else None  # noqa: PTH113 - as above


def misplaced(path: str | Path, *wanted: Kind) -> CafxError | None:
    """The error for a file of another kind than is wanted, or None if it is one of these or not recognised.

    It is an `UnknownNameError` for a net in place of a solver, and the reverse, whose fields are unknown here.

    Args:
        path: the file.
        wanted: the kinds that may stand here; the first one is named.

    Example:
        >>> print(misplaced("/", Kinds.WEIGHTS))
        /: is not a caffemodel: got a folder; name a file
    """
    kind = kind_of_file(path)
    if kind is None or kind in (*wanted, Kinds.EMPTY):
        return None
    error = UnknownNameError if kind in (Kinds.NET, Kinds.SOLVER) else CafxError
    remedy = _counterpart(Path(path), kind, wanted[0]) or kind.belongs or None
    return error(f"is not {wanted[0].name}", where=str(path), found=kind.name, remedy=remedy)


def _counterpart(path: Path, kind: Kind, wanted: Kind) -> str | None:
    """What to do about two kinds that are often confused; of a snapshot, the name of its other file."""
    if {kind, wanted} == {Kinds.NET, Kinds.WEIGHTS}:
        return "perhaps net and weights are swapped"
    suffixes = {Kinds.WEIGHTS: ".caffemodel", Kinds.STATE: ".solverstate"}
    if kind not in suffixes or wanted not in suffixes or suffixes[kind] not in path.name:
        return None
    other = path.with_name(path.name.replace(suffixes[kind], suffixes[wanted]))
    return f"name {wanted.name}, such as {other}" + ("" if other.is_file() else " (not there)")
