"""Transpose: the axes of a blob in another order, each of them listed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Message, message, option
from cafx_layer_permute import Permute

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("transpose_param")
class TransposeParameter(Message):
    """Options of Transpose."""

    dim: tuple[int, ...] = option(1, "int32", repeated=True, doc="all axes of the bottom in the order of the top's")


class Transpose(Permute):
    """Axes in another order: y[i_dim₀, i_dim₁, …] = x[i₀, i₁, …].

    Bottom: any shape but a scalar. Top: shape (d_dim₀, d_dim₁, …). If no axis changes its place, top and
    bottom share data and diff.
    Gradient: dx = dy with the axes in their former order.

    Raises:
        CafxError: not every axis is listed once.

    Source: Tian et al., "Detecting Text in Natural Image with Connectionist Text Proposal Network", 2016; the
    layer is from tianzhi0549/caffe.

    Read by engines:
        order: all axes of the bottom in the order of the top's.
        shares: whether top and bottom share data and diff.
    """

    Parameter = TransposeParameter
    options: TransposeParameter

    def listed(self, bottom: Blob) -> tuple[int, ...]:
        """All axes of the top, as axes of the bottom."""
        axes = self.options.dim
        if len(axes) != bottom.num_axes or not axes:
            expected = f"each of the {bottom.num_axes} axes of the bottom" if bottom.num_axes else "a bottom with axes"
            raise self.error("dim does not list every axis", found=f"dim: {list(axes)}", expected=expected)
        return axes

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Orders of one to five axes, and one that changes nothing."""
        from cafx.conformance import Case

        yield Case("time_first", (2, 3, 4, 5), options={"dim": [3, 0, 2, 1]})
        yield Case("matrix", (2, 3), options={"dim": [1, 0]})
        yield Case("identity", (2, 3, 4), options={"dim": [0, 1, 2]})
        yield Case("vector", (4,), options={"dim": [0]})
        yield Case("five_axes", (2, 3, 1, 2, 4), options={"dim": [4, 1, 0, 2, 3]})
