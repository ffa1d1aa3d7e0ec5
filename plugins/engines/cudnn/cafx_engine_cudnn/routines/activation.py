"""Activations: layers that work value by value, each by a function of `kernels/activation.cu`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from cafx.kernel import Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.places import ChannelsLast
from cafx_engine_cudnn.precision import Precision
from cafx_engine_cudnn.routine import Accelerated
from cafx_engine_cupy.session import BLOCK, NULL

FILE = "activation.cu"
NAMES = (
    *("AbsVal", "BNLL", "Clip", "ELU", "Exp", "Log", "Power", "ReLU", "Sigmoid", "Swish", "TanH", "Threshold"),
)  # fmt: skip
"""The layers, in the order of the functions in the file."""
FROM_TOP = {"ELU", "Exp", "Sigmoid", "TanH"}
"""Layers whose gradient is computed from the top."""
NOT_IN_PLACE = {"Log", "Power"}
"""Layers whose gradient in place is not that of the function."""
KEPT_IN_PLACE = {"Swish"}
"""Layers that keep the bottom when they overwrite it."""


def _elu(layer: Any) -> tuple[float, ...]:
    if layer.options.alpha < 0:
        raise Unsupported("a negative alpha")
    return (layer.options.alpha,)


CONSTANTS: dict[str, Callable[[Any], tuple[float, ...]]] = {
    "Clip": lambda layer: (layer.options.min, layer.options.max),
    "ELU": _elu,
    "Exp": lambda layer: (layer.slope, layer.offset),
    "Log": lambda layer: (layer.log_base, layer.options.scale, layer.options.shift),
    "Power": lambda layer: (layer.options.power, layer.options.scale, layer.options.shift),
    "ReLU": lambda layer: (layer.options.negative_slope,),
    "Swish": lambda layer: (layer.options.beta,),
    "Threshold": lambda layer: (layer.options.threshold,),
}
"""The constants of the functions that have some."""


@attrs.frozen
class Flat:
    """An array as the kernels loop over it.

    Attributes:
        count: values, padding included.
        padded: values between one group of channels and the next.
        channels: how many of them are no padding.
    """

    count: int
    padded: int
    channels: int

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As kernels take it."""
        return np.int64(self.count), np.int32(self.padded), np.int32(self.channels)


class Activation(Accelerated):
    """y = f(x) and dx = dy · f′, in whatever layout the bottom is written.

    Channels-last or row-major, an array is read and written in its own layout, 16 bytes per access.
    """

    carried = ("_kept",)

    def choose(self) -> None:
        """The bottom's layout, else row-major."""
        bottom, top = self.bottoms[0], self.tops[0]
        kind = self.layer.type
        constants = CONSTANTS[kind](self.layer) if kind in CONSTANTS else ()
        self._function = np.int32(NAMES.index(kind)), *map(np.float32, (*constants, 0.0, 0.0, 0.0)[:3])
        self.in_place = bottom.synced_data is top.synced_data
        if self.in_place and self.training and kind in NOT_IN_PLACE:
            raise Unsupported("its gradient in place")
        self._choose_layout(self.build.written_in(bottom))
        self.x, self.y = (self._operand(blob.synced_data) for blob in (bottom, top))
        self.dx, self.dy = (self._operand(blob.synced_diff) for blob in (bottom, top))
        self.build.writes(top, self.place)
        self._value = self.y if kind in FROM_TOP else self.x
        self._keeps = self.in_place and self.training and kind in KEPT_IN_PLACE
        self._kept: Any = None

    def _choose_layout(self, place: Any) -> None:
        if isinstance(place, ChannelsLast):
            extent = place.extent
            self.place: Any = place
            self.flat, self._arithmetic = Flat(extent.count, extent.padded, extent.channels), self.precision
        else:
            self.place = self.build.engine.place
            self.flat, self._arithmetic = Flat(self.bottoms[0].count_, 1, 1), Precision(self.session, "float32")

    def _operand(self, storage: Any) -> Operand:
        return self.operand(storage, self.place)

    @property
    def forward_uses(self) -> Access:
        """From values to values."""
        return Access(reads=[self.x], writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From gradient to gradient, with the bottom's or the top's values."""
        if not self.propagate_down[0]:
            return Access()
        return Access(reads=[self.dy, *([] if self._keeps else [self._value])], writes=[self.dx])

    @property
    def nbytes(self) -> int:
        """The bottom, where it is overwritten and needed."""
        return self.flat.count * self._arithmetic.value.itemsize if self._keeps else 0

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._kept = None

    def _run(self, kernel: str, *arrays: Any) -> None:
        arguments = *arrays, *self.flat.arguments, *self._function
        grid = self.session.grid(-(-self.flat.count // self._arithmetic.vector))
        self._arithmetic.launch(FILE, kernel, grid, BLOCK, arguments)

    def forward(self) -> None:
        """Write the function's values."""
        if self._keeps and self._kept is None:
            self._kept = self.session.cupy.empty(self.flat.count, self._arithmetic.value)
        self._run("activate", self.x.read(), self.y.target(), self._kept if self._keeps else NULL)
        self.y.written()

    def backward(self) -> None:
        """Write the gradient."""
        if self.propagate_down[0]:
            value = self._kept if self._keeps else self._value.read()
            self._run("differentiate", value, self.dy.read(), self.dx.target())
            self.dx.written()
