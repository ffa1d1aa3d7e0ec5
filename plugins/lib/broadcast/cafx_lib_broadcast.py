"""BroadcastLayer: the base class of Scale and Bias."""

from __future__ import annotations

import math
from typing import Any

from cafx.kernel import Blob, FillerParameter, NeuronLayer
from cafx.kernel.blob import shape_text


class BroadcastLayer(NeuronLayer):
    """A layer that combines its bottom with an operand broadcast over some of the bottom's axes.

    The operand is the second bottom or, without one, the first parameter. Its axes are consecutive axes
    of the bottom, starting at option ``axis``; it is broadcast over the others.

    Read by engines:
        view: shape (outer, operand, inner) of the bottom as three axes, the operand's axes in the middle.
    """

    bottoms = (1, 2)

    def add_operand(self, bottom: list[Blob], filler: FillerParameter) -> None:
        """Create the operand as a parameter of ``num_axes`` axes (-1: all), unless it is a bottom.

        Raises:
            CafxError: the bottom has too few axes.
        """
        if len(bottom) > 1:
            return
        axis, shape = self.axis(bottom[0], self.options.axis), bottom[0].shape
        count = len(shape) - axis if self.options.num_axes == -1 else self.options.num_axes
        if axis + count > len(shape):
            message = f"the bottom does not have {count} axes from axis {axis} on"
            raise self.error(message, found=shape_text(shape), expected=f"at least {axis + count} axes")
        self.add_parameter(shape[axis : axis + count], filler)

    def operand(self, bottom: list[Blob]) -> Blob:
        """The second bottom, or the first parameter."""
        return bottom[1] if len(bottom) > 1 else self.blobs[0]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape, whose axes from ``axis`` on must be the operand's."""
        super().reshape(bottom, top)
        shape, part = bottom[0].shape, self.operand(bottom).shape
        axis = self.axis(bottom[0], self.options.axis) if part else 0
        if shape[axis : axis + len(part)] != part:
            raise self.error(
                f"the operand does not match the bottom's axes from axis {axis} on",
                found=f"{shape_text(part)} against {shape_text(shape)}",
                expected=shape_text(shape[axis : axis + len(part)]),
            )
        self.view = (math.prod(shape[:axis]), math.prod(part), math.prod(shape[axis + len(part) :]))

    def broadcast(self, blob: Blob) -> Any:
        """The data of a blob of the operand's shape, reshaped to broadcast against ``view``."""
        return blob.data.reshape(self.view[1], 1)

    def reduce(self, values: Any, blob: Blob) -> Any:
        """Sum ``values``, of the bottom's shape, over the axes that ``blob`` is broadcast over."""
        return values.reshape(self.view).sum(axis=(0, 2)).reshape(blob.shape)
