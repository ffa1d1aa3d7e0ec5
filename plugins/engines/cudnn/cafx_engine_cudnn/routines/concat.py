"""Concat and Slice: parts side by side in a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np

from cafx.kernel import Blob, Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.flat import Flat
from cafx_engine_cudnn.operands import Operand

CHANNELS = 1


@attrs.frozen
class Columns:
    """Where a part is in the whole, both being matrices of so many rows.

    Attributes:
        rows: of both.
        length: columns of the part with values in them.
        pitch: columns of the part.
        start: its first column in the whole.
        end: the column of the whole that the next part starts at; the whole's last part is followed by padding.
        whole: columns of the whole.
    """

    rows: int
    length: int
    pitch: int
    start: int
    end: int
    whole: int

    def in_packs(self, vector: int) -> Columns | None:
        """The same in packs of values, padding included, if the part begins and ends with one in the whole."""
        sizes = self.pitch, self.pitch, self.start, self.end, self.whole
        if any(size % vector for size in sizes):
            return None
        return Columns(self.rows, *(size // vector for size in sizes))


class Joining(Flat):
    """Copies between a whole and its parts along one axis.

    A part that begins and ends with whole accesses of 16 bytes is copied by these; GoogLeNet's are all so.
    """

    def choose_parts(self, whole: Blob, parts: Sequence[Blob], axis: int) -> None:
        """Where each part is.

        Raises:
            Unsupported: along positions of channels-last arrays.
        """
        if self.packed and axis > CHANNELS:
            raise Unsupported(f"axis {axis} of channels-last memory")
        self.columns: list[Columns] = []
        end = 0
        for index, part in enumerate(parts):
            start, end = end, end + self._length(part, axis)
            last = index + 1 == len(parts)
            columns = self._whole_columns(whole, axis) if last else end
            self.columns.append(self._columns(whole, part, axis, start, columns))

    def _columns(self, whole: Blob, part: Blob, axis: int, start: int, end: int) -> Columns:
        length, rows = self._length(part, axis), self.count_of(whole) // self._whole_columns(whole, axis)
        return Columns(rows, length, self._whole_columns(part, axis), start, end, self._whole_columns(whole, axis))

    def _length(self, blob: Blob, axis: int) -> int:
        """Columns of a blob with values in them."""
        if self.packed and axis == CHANNELS:
            return self.build.extent(blob).channels
        return self._whole_columns(blob, axis)

    def _whole_columns(self, blob: Blob, axis: int) -> int:
        """Columns of a blob, padding included."""
        if not self.packed:
            return math.prod(blob.shape[axis:])
        extent = self.build.extent(blob)
        return extent.padded if axis == CHANNELS else extent.count

    def join(self, parts: Sequence[Operand], whole: Operand) -> None:
        """Copy the parts to the whole."""
        target = whole.target()
        for part, columns in zip(parts, self.columns, strict=True):
            packs = columns.in_packs(self.vector)
            at = packs or columns
            self._copy(
                bool(packs), part.read(), target, at, at.end - at.start, from_=(at.pitch, 0), to=(at.whole, at.start)
            )
        whole.written()

    def divide(self, whole: Operand, parts: Sequence[Operand | None]) -> None:
        """Copy the whole to the parts that are not None."""
        source = whole.read()
        for part, columns in zip(parts, self.columns, strict=True):
            if part is not None:
                packs = columns.in_packs(self.vector)
                at = packs or columns
                self._copy(
                    bool(packs), source, part.target(), at, at.pitch, from_=(at.whole, at.start), to=(at.pitch, 0)
                )
                part.written()

    def _copy(
        self,
        packs: bool,
        source: object,
        target: object,
        at: Columns,
        written: int,
        *,
        from_: tuple[int, int],
        to: tuple[int, int],
    ) -> None:
        sizes = map(np.int64, (at.rows, min(at.length, written), written, *from_, *to))
        kernel = "copy_packs" if packs else "copy_values"
        self.launch_flat("concat.cu", kernel, at.rows * written, source, target, *sizes)


class Concat(Joining):
    """y = (x₁ | x₂ | …): of channels-last arrays along the images or channels, of row-major ones along any axis."""

    def choose(self) -> None:
        """Several bottoms."""
        if len(self.bottoms) < 2:
            raise Unsupported("one bottom shares its memory")
        self.choose_layout(self.bottoms)
        self.choose_parts(self.tops[0], self.bottoms, self.layer.concat_axis)
        self.xs, self.dxs = map(list, (map(self.values_of, self.bottoms), map(self.gradient_of, self.bottoms)))
        self.y, self.dy = self.values_of(self.tops[0]), self.gradient_of(self.tops[0])
        self.leave(self.y, blobs=self.tops)

    @property
    def _needed(self) -> list[Operand | None]:
        """The gradients, None for those that are not needed."""
        return [dx if down else None for dx, down in zip(self.dxs, self.propagate_down, strict=True)]

    @property
    def forward_uses(self) -> Access:
        """From the parts to the whole."""
        return Access(reads=self.xs, writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From the whole's gradient to the parts'."""
        return Access(reads=[self.dy], writes=[dx for dx in self._needed if dx is not None])

    def forward(self) -> None:
        """Copy the parts."""
        self.join(self.xs, self.y)

    def backward(self) -> None:
        """Copy each part's gradient."""
        self.divide(self.dy, self._needed)


class Slice(Joining):
    """(y₁ | y₂ | …) = x: of channels-last arrays along the images or channels, of row-major ones along any axis."""

    def choose(self) -> None:
        """Several tops; the axis is the one they are shorter along."""
        if len(self.tops) < 2:
            raise Unsupported("one top shares its memory")
        bottom, top = self.bottoms[0], self.tops[0]
        axis = next(index for index, length in enumerate(bottom.shape) if top.shape[index] != length)
        self.choose_layout(self.bottoms)
        self.choose_parts(bottom, self.tops, axis)
        self.x, self.dx = self.values_of(bottom), self.gradient_of(bottom)
        self.ys, self.dys = map(list, (map(self.values_of, self.tops), map(self.gradient_of, self.tops)))
        self.leave(*self.ys, blobs=self.tops)

    @property
    def forward_uses(self) -> Access:
        """From the whole to the parts."""
        return Access(reads=[self.x], writes=self.ys)

    @property
    def backward_uses(self) -> Access:
        """From the parts' gradients to the whole's."""
        return Access(reads=self.dys, writes=[self.dx]) if self.propagate_down[0] else Access()

    def forward(self) -> None:
        """Copy each part."""
        self.divide(self.x, list(self.ys))

    def backward(self) -> None:
        """Copy the parts' gradients."""
        if self.propagate_down[0]:
            self.join(self.dys, self.dx)
