"""Source of the AnnotatedData layer: images and their boxes from a database."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx.kernel.net import Streams
from cafx_data_annotateddata.labels import BoxLabels, YoloLabels
from cafx_data_data.source import DatabaseItem, DataSource
from cafx_lib_annotated.policies import Policies
from cafx_lib_annotated.records import BBOX_TYPE, LABEL_COLUMN, Record, read_record
from cafx_lib_annotated.transform import AnnotatedTransformer, Prepared
from cafx_lib_feed.database import Reader
from cafx_lib_feed.images import Allocate
from cafx_lib_feed.images_source import Picture, Shape3
from cafx_lib_feed.prefetch import Batch

Fetched = tuple[list[DatabaseItem], np.random.Generator]


class AnnotatedSource(DataSource):
    """Batches of images and of rows, one per box.

    Args:
        reader, options, streams, name, labelled: see `DataSource`.
        policies: the transformation, or several that are drawn from.
        has_kind: whether records have a type, which is then 0 (boxes); None to see it from the first record.
        classes: the labels that a box may have; empty for any.
        labels: the form of the rows.

    Raises:
        CafxError: the first record is damaged or does not fit the options.
    """

    def __init__(
        self,
        reader: Reader,
        options: Any,
        streams: Streams,
        name: str,
        policies: Policies,
        labelled: bool,
        has_kind: bool | None,
        classes: Collection[int],
        labels: BoxLabels | YoloLabels,
    ) -> None:
        steps = policies.steps[0]
        super().__init__(reader, options, streams, name, steps.last, labelled)
        self.policies, self.classes, self.labels = policies, frozenset(classes), labels
        self.shadowed = has_kind is not None
        first = next(reader.items())
        record = read_record(*first)
        self.with_boxes = self.shadowed or record.kind is not None
        shape = steps.shape(self._picture(first[0], record, None).shape)
        self.expected: Shape3 | None = shape if self.batch_size > 1 and not policies.several else None
        label_shape = self._label_shape(self.batch_size, len(record.rows))
        self.shapes = [(self.batch_size, *shape), label_shape][: 1 + labelled]

    def fetch(self, batch: int) -> Fetched:  # type: ignore[override]  # the items come with another kind of draws
        """See `Source`."""
        return self.items(batch), self.streams.fresh(self.name, batch)

    def fill(self, fetched: Fetched, number: int, batch: Batch) -> None:  # type: ignore[override]
        """See `Source`."""
        self.reader.check_lent()
        items, rng = fetched
        steps = self.policies.draw(rng)
        rows, classes, shape = [], [], self.expected
        for index, item in enumerate(items):
            prepared, label = self._prepared(item, steps, rng)
            if not index:
                shape = self._checked(prepared, item, self.expected)
                data = batch.shape((len(items), *shape), self._label_shape(len(items), 0))[0]
            self._checked(prepared, item, shape)
            steps.write(prepared, data[index])
            rows.append(prepared.rows)
            classes.append(label)
        if self.labelled:
            self._label(batch, data.shape, rows, classes)
        else:
            del batch.arrays[1:]

    def _label_shape(self, images: int, boxes: int) -> tuple[int, int, int, int]:
        """Shape of the second top."""
        return self.labels.shape(images, boxes) if self.with_boxes else (images, 1, 1, 1)

    def _label(self, batch: Batch, shape: tuple[int, ...], rows: list[Any], classes: list[int]) -> None:
        """Write the second top: the boxes of all images, or their classes."""
        out = batch.shape(shape, self._label_shape(len(rows), sum(map(len, rows))))[1]
        if self.with_boxes:
            self.labels.write(rows, out)
        else:
            out[:, 0, 0, 0] = classes

    def _prepared(
        self, item: DatabaseItem, steps: AnnotatedTransformer, rng: np.random.Generator
    ) -> tuple[Prepared, int]:
        """An image of the batch, and its class in the Datum."""
        key, value = item
        record = read_record(key, self.reader.get(key) if value is None else value)
        self._check_record(record, item)
        picture = self._picture(key, record, self.transformer.decoded)
        image = picture.pixels if picture.decoded else picture.pixels.transpose(1, 2, 0)
        return steps.prepare(image, record.rows, rng, self.describe(item)), int(picture.label)

    def _picture(self, key: bytes, record: Record, allocate: Allocate | None) -> Picture:
        return self.picture((key, record.datum), allocate)

    def _check_record(self, record: Record, item: DatabaseItem) -> None:
        """Check the kind and the labels of the annotations."""
        if not self.labelled:
            return
        if self.with_boxes and not self.shadowed and record.kind != BBOX_TYPE:
            found = "no type" if record.kind is None else f"type {record.kind}"
            remedy = "if all have boxes, set annotated_data_param { anno_type: BBOX }"
            raise CafxError(f"{self.describe(item)} has no boxes", found=found, expected="type: BBOX", remedy=remedy)
        if self.classes and self.with_boxes:
            unknown = set(record.rows[:, LABEL_COLUMN].astype(int).tolist()) - self.classes
            if unknown:
                raise CafxError(
                    f"{self.describe(item)} has a label that is not in label_map_file",
                    found=min(unknown),
                    expected=f"one of the {len(self.classes)} labels of the map",
                )

    def _checked(self, prepared: Prepared, item: DatabaseItem, expected: Shape3 | None) -> Shape3:
        """The shape of an image; it must be as expected."""
        if expected is not None and prepared.shape != expected:
            raise CafxError(
                f"shape mismatch at {self.describe(item)}",
                found=shape_text(prepared.shape),
                expected=f"{shape_text(expected)} as before",
                remedy="set transform_param { resize_param { … } } or crop_size, or batch_size: 1",
            )
        return prepared.shape
