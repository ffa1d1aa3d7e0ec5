"""Result files of detections in the formats of PASCAL VOC, COCO and ILSVRC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Registry
from cafx.kernel.files import atomic_write
from cafx_layer_detectionoutput.options import SaveOutputParameter
from cafx_lib_ssd import in_image, read_label_map, read_sizes

FORMATS = ("VOC", "COCO", "ILSVRC")
Row = tuple[str, int, float, float, float, float, float]


class Results:
    """Collects the detections of a test and writes them once all its images are through.

    Args:
        options: folder, format, label map and image sizes.
        labels: the classes but the background.
        plugins: the registry.

    Attributes:
        images: number of images so far.
        rows: name of the image, class, score, xmin, ymin, width and height of each detection so far.

    Raises:
        CafxError: a file cannot be read, or an option is not valid.
    """

    def __init__(self, options: SaveOutputParameter, labels: list[int], plugins: Registry | None = None) -> None:
        self.options, self.labels = options, labels
        self.sizes = read_sizes(options.name_size_file)
        self.total = options.num_test_image if options.has("num_test_image") else len(self.sizes)
        self.resize = options.resize_param if options.has("resize_param") else None
        self.names = {item.label or 0: item.name or "" for item in read_label_map(options.label_map_file, plugins).item}
        self._check()
        self.images = 0
        self.rows: list[Row] = []

    @staticmethod
    def wanted(options: SaveOutputParameter) -> bool:
        """Whether the options ask for files: folder, label map and image sizes are all named."""
        return bool(options.output_directory and options.label_map_file and options.name_size_file)

    def _check(self) -> None:
        if self.options.output_format not in FORMATS:
            found = self.options.output_format or "none"
            raise CafxError("unknown output_format", found=found, expected="one of " + ", ".join(FORMATS))
        if not 0 < self.total <= len(self.sizes):
            expected = f"1 to {len(self.sizes)}, the images in {self.options.name_size_file}"
            raise CafxError("num_test_image is not valid", found=self.total, expected=expected)
        missing = [label for label in self.labels if label not in self.names]
        if missing:
            raise CafxError(
                "classes have no name",
                where=self.options.label_map_file,
                found=f"no item with label {', '.join(map(str, missing))}",
            )
        for name in [self.names[label] for label in self.labels] + [self.options.output_name_prefix or ""]:
            if Path(name).name != name and name:
                raise CafxError("a part of a file's name contains a folder", found=name, where=self.where)

    @property
    def where(self) -> str:
        """The place that errors name."""
        return self.options.label_map_file

    def add(self, detections: npt.NDArray[Any]) -> None:
        """Add the detections of the next image, and write the files if it is the last.

        Args:
            detections: rows (class, score, xmin, ymin, xmax, ymax) in fractions of the image.
        """
        size = self.sizes[self.images]
        boxes = in_image(detections[:, 2:].astype(np.float32), size, self.resize)
        corner = _to_hundredths(np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1))
        for (label, score), values in zip(detections[:, :2].tolist(), corner.tolist(), strict=True):
            self.rows.append((size.name, int(label), score, *values))
        self.images += 1
        if self.images == self.total:
            self._write()
            self.images, self.rows = 0, []

    def _write(self) -> None:
        folder = Path(self.options.output_directory)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CafxError(f"cannot be created: {error.strerror}", where=str(folder)) from error
        for name, text in self._files():
            with atomic_write(folder / f"{self.options.output_name_prefix or ''}{name}") as file:
                file.write(text.encode("utf-8", "surrogateescape"))

    def _files(self) -> Iterator[tuple[str, str]]:
        """The end of each file's name, and its text."""
        if self.options.output_format == "COCO":
            yield ".json", _coco(self.rows, self.names)
        elif self.options.output_format == "ILSVRC":
            yield ".txt", "".join(f"{row[0]} {row[1]} {_line(row)}\n" for row in self.rows)
        else:
            for label in self.labels:
                own = (row for row in self.rows if row[1] == label)
                yield f"{self.names[label]}.txt", "".join(f"{row[0]} {_line(row)}\n" for row in own)


def _to_hundredths(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Values rounded to two digits, halves away from zero."""
    hundredths = (values * np.float32(100)).astype(np.float64)
    rounded: npt.NDArray[np.float32] = (np.copysign(np.floor(abs(hundredths) + 0.5), hundredths) / 100).astype(
        np.float32
    )
    return rounded


def _line(row: Row) -> str:
    """Score and corners in whole pixels; width and height are cut before they are added."""
    x, y, width, height = map(int, row[3:])
    return f"{row[2]:.6g} {x} {y} {x + width} {y + height}"


def _coco(rows: list[Row], names: dict[int, str]) -> str:
    """A list of objects; names of whole numbers become numbers, as COCO's tools expect."""
    objects = []
    for name, label, score, *box in rows:
        numbers = ",\n".join(f"{'':16}{value:.9g}" for value in box)
        objects.append(
            f"{'':8}{{\n"
            f'{"":12}"image_id": {_number_or_text(name)},\n'
            f'{"":12}"category_id": {_number_or_text(names[label])},\n'
            f'{"":12}"bbox": [\n{numbers}\n{"":12}],\n'
            f'{"":12}"score": {score:.9g}\n'
            f"{'':8}}}"
        )
    return "[\n" + ",\n".join(objects) + "\n    \n]\n"


def _number_or_text(name: str) -> str:
    return str(int(name)) if name.isascii() and name.isdecimal() else json.dumps(name)
