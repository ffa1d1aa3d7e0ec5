"""AnnotatedDatum: a Datum with its boxes, read and written without copying pixels.

Field numbers are those of SSD's AnnotatedDatum, AnnotationGroup, Annotation and NormalizedBBox messages.
"""

from __future__ import annotations

import struct
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_format_binaryproto import wire
from cafx_lib_feed.datum import CHANNELS, HEIGHT, WIDTH, datum_bytes, key_text

Rows = npt.NDArray[np.float32]
DATUM, TYPE, GROUP = 1, 2, 3
GROUP_LABEL, ANNOTATION = 1, 2
INSTANCE, BOX = 1, 2
DIFFICULT_FIELD = 6
BBOX_TYPE = 0
LABEL_COLUMN, INSTANCE_COLUMN, CORNERS, DIFFICULT_COLUMN = 0, 1, slice(2, 6), 6
COLUMNS = 7


@attrs.frozen(eq=False)
class Record:
    """The content of an AnnotatedDatum.

    Attributes:
        datum: the serialised Datum.
        kind: the type of its annotations, 0 for boxes; None if it is not set.
        rows: float32 K×7, one row per box: label, instance, xmin, ymin, xmax, ymax (fractions of the image's
            width and height), difficult.
    """

    datum: memoryview
    kind: int | None
    rows: Rows


def no_rows() -> Rows:
    """The annotations of an image without boxes."""
    return np.empty((0, COLUMNS), np.float32)


def read_record(key: bytes, value: memoryview) -> Record:
    """Parse an AnnotatedDatum; its datum refers to the memory of ``value``.

    Args:
        key: key of the item, for errors.
        value: the serialised AnnotatedDatum.

    Raises:
        CafxError: ``value`` is not a complete AnnotatedDatum.

    Example:
        >>> value = record_bytes(b"", np.array([[3, 0, 0.1, 0.2, 0.5, 0.75, 1]], np.float32))
        >>> read_record(b"key", memoryview(value)).rows.round(2).tolist()[0][-2:]
        [0.75, 1.0]
    """
    datum, kind, rows = memoryview(b""), None, []
    try:
        for number, _, payload in wire.fields(value):
            if number == DATUM:
                datum = _submessage(payload)
            elif number == TYPE and isinstance(payload, int):
                kind = payload
            elif number == GROUP:
                _read_group(_submessage(payload), rows)
    except wire.Malformed as error:
        remedy = "a database of plain Datums belongs to a Data layer"
        raise CafxError(f"item {key_text(key)} is not an AnnotatedDatum: {error}", remedy=remedy) from None
    return Record(datum, kind, np.array(rows, np.float32).reshape(-1, COLUMNS))


def record_bytes(datum: bytes, rows: Rows) -> bytes:
    """Serialise an AnnotatedDatum of boxes.

    Args:
        datum: the serialised Datum.
        rows: as in `Record`; boxes of the same label become one group, in the order of their first boxes.
    """
    parts = [wire.header(DATUM, len(datum)), datum, _integer(TYPE, BBOX_TYPE)]
    labels = rows[:, LABEL_COLUMN].astype(int).tolist()
    for label in dict.fromkeys(labels):
        group = _integer(GROUP_LABEL, label)
        for row, own in zip(rows.tolist(), labels, strict=True):
            if own == label:
                box = b"".join(struct.pack("<Bf", field << 3 | wire.FIXED32, row[1 + field]) for field in range(1, 5))
                box += _integer(DIFFICULT_FIELD, int(row[DIFFICULT_COLUMN]))
                annotation = _integer(INSTANCE, int(row[INSTANCE_COLUMN])) + wire.header(BOX, len(box)) + box
                group += wire.header(ANNOTATION, len(annotation)) + annotation
        parts += [wire.header(GROUP, len(group)), group]
    return b"".join(parts)


def encoded_datum(image: bytes, shape: tuple[int, int, int], label: int) -> bytes:
    """Serialise a Datum of an encoded image with its size, which SSD needs to transform boxes.

    Args:
        image: content of an image file.
        shape: channels, height and width.
        label: class of the image.
    """
    sizes = b"".join(_integer(number, side) for number, side in zip((CHANNELS, HEIGHT, WIDTH), shape, strict=True))
    return sizes + datum_bytes(None, label, image=image, encoded=True)


def with_instances(rows: Rows) -> Rows:
    """Number the boxes of each label from 0, as SSD's converter does; returns ``rows``."""
    seen: dict[float, int] = {}
    for row in rows:
        label = float(row[LABEL_COLUMN])
        row[INSTANCE_COLUMN] = seen.get(label, 0)
        seen[label] = seen.get(label, 0) + 1
    return rows


def _integer(number: int, value: int) -> bytes:
    return wire.varint(number << 3) + wire.varint(value % 2**64)


def _read_group(group: memoryview, rows: list[list[float]]) -> None:
    """Append the boxes of an AnnotationGroup to ``rows``."""
    label, start = 0, len(rows)
    for number, _, payload in wire.fields(group):
        if number == GROUP_LABEL and isinstance(payload, int):
            label = _signed(payload)
        elif number == ANNOTATION:
            rows.append(_read_annotation(_submessage(payload)))
    for row in rows[start:]:
        row[LABEL_COLUMN] = label


def _read_annotation(annotation: memoryview) -> list[float]:
    row = [0.0] * COLUMNS
    for number, _, payload in wire.fields(annotation):
        if number == INSTANCE and isinstance(payload, int):
            row[INSTANCE_COLUMN] = _signed(payload)
        elif number == BOX:
            for field, _, value in wire.fields(_submessage(payload)):
                if field < DIFFICULT_FIELD - 1:
                    row[1 + field] = _float(value)
                elif field == DIFFICULT_FIELD and isinstance(value, int):
                    row[DIFFICULT_COLUMN] = bool(value)
    return row


def _submessage(payload: Any) -> memoryview:
    if not isinstance(payload, memoryview):
        raise wire.Malformed("a number in place of a message")
    return payload


def _float(payload: Any) -> float:
    if not isinstance(payload, memoryview) or len(payload) != struct.calcsize("<f"):
        raise wire.Malformed("a coordinate that is not a float")
    return float(struct.unpack("<f", payload)[0])


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
