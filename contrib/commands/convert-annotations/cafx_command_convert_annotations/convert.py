"""Conversion of single images, and which of them a database has already."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs
import click

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx.kernel.files import atomic_write
from cafx.kernel.net import Streams
from cafx_command_convert_annotations.entries import Entry, Item, numbers, rows_of
from cafx_lib_annotated.records import encoded_datum, record_bytes
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import Image, cv2, decode, encode, planes, read_bytes, resize
from cafx_lib_feed.tools import reading

NO_CLASS = -1
"""The label of the Datum of an annotated image."""
Numbered = tuple[int, Entry | CafxError]
"""Number of an image in the order of conversion, and the image or why it cannot be converted."""


@attrs.frozen
class Result:
    """What became of an image.

    Attributes:
        name: the image.
        error: why it cannot be converted; None if it could.
        final: whether nothing can be converted after this error.
        bad: what is wrong with boxes that were left out.
        key, value: the item of the database.
        size: number of bytes of the image.
    """

    name: str
    error: CafxError | None = None
    final: bool = False
    bad: tuple[str, ...] = ()
    key: bytes = b""
    value: bytes = b""
    size: int = 0


@attrs.define
class Conversion:
    """How images are converted.

    Attributes:
        root: prefix of all paths.
        channels: 3 or 1.
        height, width: size to resize to; 0 for none.
        encoded: whether to store encoded images.
        suffix: suffix of the format to encode to; empty for the image's own.
        labels: the label of each class.
        strict: whether a class without label is an error.
    """

    root: str
    channels: int
    height: int
    width: int
    encoded: bool
    suffix: str
    labels: dict[str, int] = attrs.field(factory=dict)
    strict: bool = False

    @classmethod
    def of(cls, root: str, encoded: bool, encode_type: str, gray: bool, resize: str | None) -> Conversion:
        """From the command's options."""
        folder = f"{root}/" if Path(root).is_dir() and not root.endswith("/") else root
        suffix = encode_type.lower().lstrip(".")
        if suffix and not cv2().haveImageWriter(f".{suffix}"):
            message = f"{encode_type!r} is not an image format; try png or jpg"
            raise click.BadParameter(message, param_hint="--encode-type")
        return cls(folder, 1 if gray else 3, *_size(resize), encoded or bool(suffix), suffix)

    def number_by(self, items: Iterable[Item], classes: Sequence[tuple[str, str]] | None, strict: bool) -> None:
        """Number classes by the items of a label map."""
        self.labels, self.strict = numbers(items, classes), strict

    def convert(self, numbered: Numbered) -> Result:
        """Convert one image; called by several threads concurrently."""
        number, entry = numbered
        if isinstance(entry, CafxError):
            return Result("", entry)
        missing = next((each.name for each in entry.things if each.name not in self.labels), None)
        if missing is not None and self.strict:
            known = ", ".join(itertools.islice(self.labels, 5)) + (", …" if len(self.labels) > 5 else "")
            where, expected = self.root + entry.path, f"a class of the label map: {known}"
            error = CafxError("has an object of unknown class", where=where, found=missing, expected=expected)
            return Result(entry.path, error, final=True)
        try:
            image, contents = self.image(entry)
            bad: list[str] = []
            rows = rows_of(entry, image.shape[:2], self.labels, bad)
            datum, size = self._datum(image, contents, entry)
        except CafxError as error:
            return Result(entry.path, error)
        return Result(entry.path, None, False, tuple(bad), key_of(number, entry), record_bytes(datum, rows), size)

    def image(self, entry: Entry) -> tuple[Image, bytes]:
        """The pixels of an image, and its file's content.

        Raises:
            CafxError: it cannot be read or decoded, or has another size than its annotation says.
        """
        path = self.root + entry.path
        contents = read_bytes(path)
        image = decode(contents, self.channels, f"'{path}'")
        if entry.size not in (None, image.shape[:2]):
            found, expected = shape_text(image.shape[:2]), f"{shape_text(entry.size or ())}, as its annotation says"
            raise CafxError(f"image '{path}' has another size than its annotation says", found=found, expected=expected)
        return image, contents

    def _datum(self, image: Image, contents: bytes, entry: Entry) -> tuple[bytes, int]:
        """The Datum of an image, and the size of its data."""
        if self.height:
            image = resize(image, self.height, self.width)
        if not self.encoded:
            return datum_bytes(planes(image), NO_CLASS, encoded=False), image.size
        ending = entry.path.rpartition(".")[2].lower()
        target = self.suffix or ending
        if self.height or self.channels == 1 or not (target == ending or (target, ending) == ("jpg", "jpeg")):
            contents = encode(image, f".{target}", f"'{self.root + entry.path}'")
        height, width, channels = image.shape
        return encoded_datum(contents, (channels, height, width), NO_CLASS), len(contents)


def _size(resize: str | None) -> tuple[int, int]:
    if not resize:
        return 0, 0
    height, _, width = resize.lower().partition("x")
    width = width or height
    if not (height.isdigit() and width.isdigit()) or not int(height) * int(width):
        raise click.BadParameter(f"{resize!r} is not a size; try --resize 300x300", param_hint="--resize")
    return int(height), int(width)


def order(count: int, shuffle: bool, seed: int) -> list[int]:
    """The order in which images are converted."""
    return Streams(seed)["convert-annotations"].permutation(count).tolist() if shuffle else list(range(count))


def key_of(number: int, entry: Entry) -> bytes:
    """The key of an image, as in SSD."""
    return f"{number:08d}_{entry.path}".encode("utf-8", "surrogateescape")


def done(key: bytes | None, entries: Sequence[Numbered], out: str) -> int:
    """The number of images that are in the database already, or cannot be, according to its last key.

    Raises:
        CafxError: the database is not a part of what these images give.
    """
    if key is None:
        return 0
    text = key.split(b"_", 1)[0]
    number = int(text) if text.isdigit() else len(entries)
    entry = entries[number][1] if number < len(entries) else None
    if not isinstance(entry, Entry) or key != key_of(number, entry):
        raise CafxError(
            "was created from other images or in another order",
            where=out,
            found=f"key {key.decode('utf-8', 'backslashreplace')}",
            remedy="use the same annotations, --shuffle and --seed, or choose another name",
        )
    return number + 1


def written_sizes(out: str, backend: str, entries: Sequence[Numbered], conversion: Conversion, path: str) -> None:
    """Write the name, height and width of each image in the database, in its order, for the evaluation."""
    lines = []
    with reading(out, backend) as reader:
        for key in reader.keys():  # noqa: SIM118 - a reader is no mapping
            entry = entries[int(key.split(b"_", 1)[0])][1]
            assert isinstance(entry, Entry)
            height, width = entry.size or conversion.image(entry)[0].shape[:2]
            lines.append(f"{entry.name} {height} {width}\n")
    with atomic_write(Path(path)) as file:
        file.write("".join(lines).encode("utf-8", "surrogateescape"))


def valid(results: Iterable[Result], bad: list[str], stop: bool) -> Iterator[Result]:
    """The results that are records.

    Args:
        results: the results.
        bad: what is wrong with others, and with single boxes, is appended to it.
        stop: raise it instead.

    Raises:
        CafxError: something is wrong, and ``stop`` is set, or nothing can be done about it.
    """
    for result in results:
        if result.error is not None:
            if stop or result.final:
                raise result.error
            bad.append(str(result.error))
            continue
        if result.bad and stop:
            raise CafxError(result.bad[0], where=result.name)
        bad.extend(f"{result.name}: {each}" for each in result.bad)
        yield result
