"""MergeCrop: two blobs, the second one cropped to the size of the first, stacked or added."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("mergecrop_param")
class MergeCropParameter(Message):
    """Options of MergeCrop."""

    class MergeOp(IntEnum):
        """Channels one after another, or a sum."""

        STACK = 0
        ADD = 1

    forward: tuple[int, ...] = option(
        1, "int32", repeated=True, doc="for each bottom, 1 to read it, 0 to take zeros instead (default 1, 1)"
    )
    backward: tuple[int, ...] = option(
        2, "int32", repeated=True, doc="for each bottom, 1 to give it a gradient, 0 to give it zeros (default 1, 0)"
    )
    operation: MergeOp = option(3, MergeOp, MergeOp.STACK, doc="STACK or ADD")


class MergeCrop(Layer):
    """Two blobs, the second cropped in its middle to the size of the first: y = (a, b′) (STACK) or a + b′ (ADD).

    Bottoms: a of shape N×A×s₁×s₂×…; b of shape N×B×S₁×S₂×… with Sᵢ ≥ sᵢ, of which b′ are the sᵢ positions from
    ⌊(Sᵢ − sᵢ) / 2⌋ on. Top: N×(A + B)×s₁×… (STACK) or N×A×s₁×… (ADD, with A = B). A bottom with ``forward: 0``
    counts as zeros.
    Gradients: da and db′ are their parts of dy, db is 0 elsewhere. A bottom with ``backward: 0`` gets zeros: by
    default the second one, so that a U-Net's skip connection has no gradient.

    Raises:
        CafxError: batch size or number of axes differ, the second bottom is smaller than the first, channels
            differ although they are to be added, or there are more than two values of forward or backward.

    Source: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015; the
    layer is from naibaf7/caffe.
    """

    Parameter = MergeCropParameter
    options: MergeCropParameter
    bottoms = 2

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Complete the options forward and backward."""
        self.reads = self._completed("forward", (1, 1))
        self.teaches = self._completed("backward", (1, 0))

    def _completed(self, name: str, default: tuple[int, int]) -> tuple[int, ...]:
        given = getattr(self.options, name)
        if len(given) > len(default):
            raise self.error(f"{name} has too many values", found=list(given), expected="one per bottom")
        return (*given, *default[len(given) :])

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the crop; the top has the first bottom's spatial axes."""
        first, second = bottom[0].shape, bottom[1].shape
        added = self.options.operation == MergeCropParameter.MergeOp.ADD
        matches = 1 < len(first) == len(second) and first[0] == second[0] and (not added or first[1] == second[1])
        if not matches or any(small > large for small, large in zip(first[2:], second[2:], strict=True)):
            raise self.error(
                "the bottoms do not match",
                found=f"{shape_text(first)} and {shape_text(second)}",
                expected=f"equal batches{' and channels' if added else ''}, the second bottom at least as large",
            )
        starts = ((large - small) // 2 for small, large in zip(first[2:], second[2:], strict=True))
        spatial = (slice(start, start + size) for start, size in zip(starts, first[2:], strict=True))
        self.crops = ((...,), (slice(None), slice(None), *spatial))
        self.parts = (slice(None),) * 2 if added else (slice(first[1]), slice(first[1], None))
        top[0].reshape(first[0], first[1] if added else first[1] + second[1], *first[2:])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = (a, b′) or a + b′."""
        y, values = top[0].mutable_data, [self._read(index, bottom) for index in range(2)]
        if self.options.operation == MergeCropParameter.MergeOp.ADD:
            y[...] = values[0]
            y += values[1]
        else:
            for part, value in zip(self.parts, values, strict=True):
                y[:, part] = value

    def _read(self, index: int, bottom: list[Blob]) -> Any:
        return bottom[index].data[self.crops[index]] if self.reads[index] else 0

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """da and db′ = parts of dy."""
        for index, (each, needed) in enumerate(zip(bottom, propagate_down, strict=True)):
            if not needed:
                continue
            if index or not self.teaches[index]:
                each.mutable_diff[...] = 0
            if self.teaches[index]:
                each.mutable_diff[self.crops[index]] = top[0].diff[:, self.parts[index]]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both operations, bottoms left out and without gradient; two to five axes."""
        from cafx.conformance import Case

        both, first = {"backward": [1, 1]}, {"forward": [1, 0], "backward": [1, 0]}
        fork = {"gradient-bottoms": "as in the fork, the second bottom has no gradient by default"}
        yield Case("default", (2, 3, 4, 2), (2, 2, 6, 5), skip=fork)
        yield Case("stacked", (2, 3, 3, 3), (2, 2, 3, 6), options=both)
        yield Case("added", (2, 3, 4, 2), (2, 3, 6, 5), options={"operation": "ADD", **both})
        yield Case("first_alone", (2, 2, 3), (2, 2, 4), options=first)
        yield Case("volumes", (1, 2, 2, 1, 2), (1, 2, 3, 2, 4), options=both)
        yield Case("vectors", (2, 3), (2, 1), options=both)
