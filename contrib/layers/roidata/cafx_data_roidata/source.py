"""Batches of images with boxes or regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_data_roidata.entries import Entry, check_classes
from cafx_lib_annotated.records import CORNERS, DIFFICULT_COLUMN, LABEL_COLUMN, read_record
from cafx_lib_feed.database import Reader
from cafx_lib_feed.datum import DatumReader, key_text
from cafx_lib_feed.images import cv2, decode, read_image
from cafx_lib_feed.prefetch import Batch, Source
from cafx_lib_rpn import RegionRule

Array = npt.NDArray[Any]
Fetched = list[tuple[Entry, "memoryview | None"]]


@attrs.frozen(eq=False)
class Loaded:
    """An image as it goes into a batch.

    Attributes:
        pixels: H×W×3, mean subtracted, resized.
        scale: by which it was resized.
        boxes: the regions in pixels of the image before it was resized.
        classes: the class of each region.
        truth: which regions are objects.
    """

    pixels: Array
    scale: float
    boxes: Array
    classes: Array
    truth: Array


class RegionSource(Source):
    """Batches in random order, without a last one that would not be full.

    Args:
        entries: the images.
        options: the layer's options.
        fresh: makes a random generator from the name of a stream and a number.
        reader: the database of the images; None if they are files.
        tops: number of tops.

    Raises:
        CafxError: there are fewer images than a batch has.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        options: Any,
        fresh: Callable[[str, int], np.random.Generator],
        reader: Reader | None,
        tops: int,
    ) -> None:
        self.entries, self.options, self.fresh, self.reader, self.tops = entries, options, fresh, reader, tops
        self.datums = DatumReader()
        self.epoch = len(entries)
        self.mean = np.array(options.pixel_mean, np.float32)
        self.scales = options.scale
        self.rule = RegionRule(
            classes=options.num_classes,
            examples=options.batch_size // options.ims_per_batch,
            fraction=options.fg_fraction,
            foreground=options.fg_thresh,
            background=(options.bg_thresh_lo, options.bg_thresh_hi),
            inside_weights=options.inside_weight,
        )
        self._epoch, self._rows = -1, self._shuffled(0)
        if not len(self._rows):
            found, expected = f"{len(entries)} images", f"at least ims_per_batch: {options.ims_per_batch}"
            raise CafxError("there are too few images for a batch", found=found, expected=expected)

    def _shuffled(self, epoch: int) -> Array:
        """The images of each batch of an epoch; wide and high ones apart, as far as possible and if sizes are known."""
        rng, size = self.fresh("order", epoch), self.options.ims_per_batch
        groups = [np.arange(len(self.entries))]
        if self.options.aspect_grouping and size > 1 and all(each.size for each in self.entries):
            wide = np.array([each.size is not None and each.size[0] >= each.size[1] for each in self.entries])
            groups = [np.flatnonzero(wide), np.flatnonzero(~wide)]
        rows, left = [], []
        for group in groups:
            order = rng.permutation(group)
            whole = len(order) - len(order) % size
            rows.append(order[:whole].reshape(-1, size))
            left.append(order[whole:])
        rest = np.concatenate(left)
        rows.append(rest[: len(rest) - len(rest) % size].reshape(-1, size))
        shuffled: Array = rng.permutation(np.concatenate(rows))
        return shuffled

    def fetch(self, batch: int) -> Fetched:
        """See `Source`."""
        epoch, row = divmod(batch, len(self._rows))
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._shuffled(epoch)
        chosen = [self.entries[index] for index in self._rows[row]]
        return [(each, self.reader.get(each.key) if self.reader is not None else None) for each in chosen]

    def fill(self, fetched: Fetched, number: int, batch: Batch) -> None:
        """See `Source`."""
        rng = self.fresh("", number)
        if self.reader is not None:
            self.reader.check_lent()
        loaded = [self._load(entry, value, rng) for entry, value in fetched]
        height, width = (max(each.pixels.shape[axis] for each in loaded) for axis in (0, 1))
        shape = (len(loaded), len(self.mean), height, width)
        if self.options.has_rpn:
            others = self._objects(loaded[0], height, width)
        else:
            others = self._regions(fetched, loaded, rng)[: self.tops - 1]
        data, *arrays = batch.shape(shape, *(each.shape for each in others))
        data[...] = 0
        for index, each in enumerate(loaded):
            rows, columns = each.pixels.shape[:2]
            data[index, :, :rows, :columns] = each.pixels.transpose(2, 0, 1)
        for array, values in zip(arrays, others, strict=True):
            array[...] = values

    @staticmethod
    def _objects(loaded: Loaded, height: int, width: int) -> list[Array]:
        """im_info and gt_boxes."""
        boxes = loaded.boxes[loaded.truth] * loaded.scale
        rows = np.concatenate([boxes, loaded.classes[loaded.truth][:, None]], axis=1)
        return [np.array([[height, width, loaded.scale]]), rows]

    def _regions(self, fetched: Fetched, loaded: list[Loaded], rng: np.random.Generator) -> list[Array]:
        """rois, labels, bbox_targets, bbox_inside_weights and bbox_outside_weights."""
        parts = []
        for index, ((entry, _), image) in enumerate(zip(fetched, loaded, strict=True)):
            chosen, objects = self.rule.draw(entry.overlap, rng)
            labels = np.where(np.arange(len(chosen)) < objects, entry.classes[chosen], 0)
            rois = np.concatenate([np.full((len(chosen), 1), index), image.boxes[chosen] * image.scale], axis=1)
            targets: Array = entry.targets if entry.targets is not None else np.zeros((len(entry.boxes), 5))
            own = targets[chosen]
            parts.append([rois, labels, *self.rule.expanded(own[:, 0], own[:, 1:])])
        rois, labels, offsets, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
        return [rois, labels, offsets, weights, weights > 0]

    def _load(self, entry: Entry, value: memoryview | None, rng: np.random.Generator) -> Loaded:
        if value is None:
            image, boxes, classes, truth = read_image(str(entry.image)), entry.boxes, entry.classes, entry.truth
        else:
            image, boxes, classes = self._record(entry, value)
            entry = attrs.evolve(entry, boxes=boxes)
            truth = np.ones(len(boxes), bool)
        boxes = entry.boxes_in(image.shape[1])
        check_classes(classes, self.options.num_classes, self._name(entry))
        pixels = (image[:, ::-1] if entry.flipped else image).astype(np.float32) - self.mean
        target = self.scales[int(rng.integers(len(self.scales)))]
        scale = target / min(pixels.shape[:2])
        if self.options.max_size and round(scale * max(pixels.shape[:2])) > self.options.max_size:
            scale = self.options.max_size / max(pixels.shape[:2])
        resized = cv2().resize(pixels, None, None, fx=scale, fy=scale, interpolation=cv2().INTER_LINEAR)
        return Loaded(resized, scale, boxes, classes, truth)

    def _record(self, entry: Entry, value: memoryview) -> tuple[Array, Array, Array]:
        """Image, boxes in pixels and their classes of an AnnotatedDatum."""
        record = read_record(entry.key, value)
        example = self.datums.read(entry.key, record.datum)
        if example.image is not None:
            image = decode(example.image, len(self.mean), self._name(entry))
        else:
            assert example.pixels is not None
            image = example.pixels.transpose(1, 2, 0)  # type: ignore[assignment]  # as the images of files
        rows = record.rows
        if not self.options.use_difficult:
            rows = rows[rows[:, DIFFICULT_COLUMN] == 0]
        height, width = image.shape[:2]
        boxes = rows[:, CORNERS] * np.array([width, height, width, height], np.float32)
        boxes[:, 2:] -= 1
        return image, boxes, rows[:, LABEL_COLUMN].astype(np.int64)

    @staticmethod
    def _name(entry: Entry) -> str:
        return key_text(entry.image) if isinstance(entry.image, bytes) else f"'{entry.image}'"

    def close(self) -> None:
        """See `Source`."""
        if self.reader is not None:
            self.reader.close()


class NoSource(Source):
    """Stands for images that are still to be given.

    Args:
        error: makes the error if a batch is asked for before.
    """

    def __init__(self, error: Callable[..., CafxError]) -> None:
        self.error = error

    def fetch(self, batch: int) -> Any:
        """See `Source`."""
        remedy = "set roi_data_param { source: … }, or call set_roidb(roidb) on this layer"
        raise self.error("there are no images", remedy=remedy)


def stream(fresh: Any, name: str, purpose: str, number: int) -> np.random.Generator:
    """A random generator of the layer's stream for one purpose and number.

    Args:
        fresh: the net's ``Streams.fresh``.
        name: the layer's name.
        purpose: added to the name; empty for the batches themselves.
        number: number of the batch or epoch.
    """
    generator: np.random.Generator = fresh(f"{name}/{purpose}" if purpose else name, number)
    return generator
