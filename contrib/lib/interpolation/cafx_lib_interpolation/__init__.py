"""Resampling of planes along rows and columns: base class of Interp and Resize."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text

Matrix = npt.NDArray[Any]


def weights(inputs: int, first: npt.NDArray[Any], fraction: npt.NDArray[Any]) -> Matrix:
    """The matrix of an interpolation along one axis: 1 − f for the value at ``first``, f for the next one.

    Args:
        inputs: number of values, n.
        first: for each result, the index of its first neighbour, from 0 to n − 1, (m,).
        fraction: f, the weight of the second neighbour, which adds nothing where it is beyond the border, (m,).

    Returns:
        The weights, m×n.

    Example:
        >>> weights(2, np.array([0, 0, 1]), np.array([0, 0.5, 0.25])).tolist()
        [[1.0, 0.0], [0.5, 0.5], [0.0, 0.75]]
    """
    result = np.zeros((len(first), inputs + 1), fraction.dtype)
    results = np.arange(len(first))
    result[results, first] = 1 - fraction
    result[results, first + 1] = fraction
    return result[:, :inputs]


class SeparableLayer(Layer):
    """Base class of layers that compute Y = R X Cᵀ for every plane X of a batch of images.

    A subclass says in `sizes` how large the results are and in `matrix` how an axis is interpolated.
    Bottom: N×C×H×W. Top: N×C×H'×W'. Gradient: dX = Rᵀ dY C. A value that is not finite affects its whole plane.

    Read by engines:
        rows: R, with at most two neighbouring weights per row.
        columns: C, of the same kind.
        crop: rows and columns left out at the beginning and at the end.
    """

    crop = (0, 0)

    def sizes(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the top.

        Args:
            height, width: of the bottom, after `crop`.

        Raises:
            CafxError: the options do not determine a size.
        """
        raise NotImplementedError

    def matrix(self, inputs: int, outputs: int) -> Matrix:
        """The weights along one axis, outputs×inputs.

        Args:
            inputs, outputs: number of values and of results.
        """
        raise NotImplementedError

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make the matrices of both axes.

        Raises:
            CafxError: the bottom does not have four axes, or nothing is left of it or of the top.
        """
        shape = bottom[0].shape
        if len(shape) != 4:
            raise self.error("wrong number of axes", found=shape_text(shape), expected="N×C×H×W")
        before, after = self.crop
        self.window = tuple(slice(before, size - after) for size in shape[2:])
        inputs = [size - before - after for size in shape[2:]]
        if min(inputs) < 1:
            raise self.error("the image is empty", found=shape_text(tuple(inputs)), expected="at least 1×1")
        outputs = self.sizes(*inputs)
        if min(outputs) < 1:
            raise self.error("the top is empty", found=shape_text(outputs), expected="at least 1×1")
        top[0].reshape(*shape[:2], *outputs)
        sizes = zip(inputs, outputs, strict=True)
        self.rows, self.columns = (self._matrix(*each, used=top[0].count_ > 0) for each in sizes)

    def _matrix(self, inputs: int, outputs: int, used: bool) -> Any:
        """The weights along one axis where the layer computes; zeros without memory if there are no planes."""
        xp, dtype = self.xp, self.context.dtype
        if not used:
            return xp.broadcast_to(xp.zeros((), dtype), (outputs, inputs))
        return xp.asarray(self.matrix(inputs, outputs).astype(dtype))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Y = R X Cᵀ."""
        self._product(self.rows, self._cropped(bottom[0].data), self.columns.T, self._planes(top[0].mutable_data))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dX = Rᵀ dY C, 0 outside the crop."""
        if not propagate_down[0]:
            return
        dy, dx = self._planes(top[0].diff), bottom[0].mutable_diff
        if not any(self.crop):
            self._product(self.rows.T, dy, self.columns, self._planes(dx))
            return
        part = self.workspace((dy.shape[0], self.rows.shape[1], self.columns.shape[1]), "cropped gradient")
        self._product(self.rows.T, dy, self.columns, part)
        dx[...] = 0
        self._cropped(dx)[...] = part

    def _planes(self, array: Any) -> Any:
        return array.reshape(-1, *array.shape[2:])

    def _cropped(self, array: Any) -> Any:
        return self._planes(array)[:, *self.window]

    def _product(self, left: Any, planes: Any, right: Any, out: Any) -> None:
        """out = left · plane · right for every plane, rows being combined while they are shorter."""
        (count, height, width), (outputs, columns) = planes.shape, (left.shape[0], right.shape[1])
        if not count:
            return
        if columns < width:
            narrow = self.workspace((count, height, columns), "narrow planes")
            self._along_rows(planes, right, narrow)
            self._across_rows(left, narrow, out)
        else:
            narrow = self.workspace((count, outputs, width), "narrow planes")
            self._across_rows(left, planes, narrow)
            self._along_rows(narrow, right, out)

    def _along_rows(self, planes: Any, right: Any, out: Any) -> None:
        """out = plane · right, as one product of all rows."""
        self.xp.matmul(planes.reshape(-1, planes.shape[2]), right, out=out.reshape(-1, out.shape[2]))

    def _across_rows(self, left: Any, planes: Any, out: Any) -> None:
        """out = left · plane, as one product with all planes side by side: many small ones would be slow."""
        (count, height, width), outputs = planes.shape, len(left)
        beside = self.workspace((height, count, width), "planes side by side")
        product = self.workspace((outputs, count, width), "results side by side")
        beside[...] = planes.transpose(1, 0, 2)
        self.xp.matmul(left, beside.reshape(height, -1), out=product.reshape(outputs, -1))
        out[...] = product.transpose(1, 0, 2)

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """Four per value of the top."""
        (outputs, _), (columns, _) = self.rows.shape, self.columns.shape
        return 4 * bottom[0].count(0, 2) * int(outputs) * int(columns)
