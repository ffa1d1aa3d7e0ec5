"""Units that work value by value, each by the oneDNN algorithm that computes what Caffe does.

Exp and Log stay plain: oneDNN's exponential makes infinity of what is no number, and its logarithm
is off by up to 15 below the smallest normal float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from cafx.kernel import Unsupported

from ..api.constants import Alg, Arg
from ..api.memory import Memory, MemoryDesc
from ..api.pointwise import eltwise_backward, eltwise_forward
from ..api.primitives import PrimitiveDesc
from ..operands import Operand
from ..routine import Pass, Run, Unary, pick

FROM_TOP = {Alg.LOGISTIC_DST, Alg.TANH_DST, Alg.ELU_DST}
SMALLEST = np.finfo(np.float32).tiny


@attrs.frozen
class Unit:
    """An algorithm with its constants.

    Attributes:
        forward, backward: of the value and of its gradient; some derive from the top.
        alpha, beta: constants of both.
        below: alpha of backward, where it is another.
        in_place: whether the gradient in place is what Caffe's is.
    """

    forward: Alg
    backward: Alg
    alpha: float = 0.0
    beta: float = 0.0
    below: float | None = None
    in_place: bool = True


def _elu(options: Any) -> Unit:
    if options.alpha < 0:
        raise Unsupported("a negative alpha")
    return Unit(Alg.ELU, Alg.ELU_DST, options.alpha)


def _clip(options: Any) -> Unit:
    """oneDNN's gradient passes above the lower bound, Caffe's from it on."""
    low = np.float32(options.min)
    below = np.nextafter(low, np.float32(-np.inf)) if low else -SMALLEST
    return Unit(Alg.CLIP, Alg.CLIP, options.min, options.max, float(below))


def _power(options: Any) -> Unit:
    if options.power == 1:
        return Unit(Alg.LINEAR, Alg.LINEAR, options.scale, options.shift, in_place=False)
    if options.power != 2 or abs(options.scale) != 1 or options.shift:
        raise Unsupported("neither linear nor a plain square")
    return Unit(Alg.SQUARE, Alg.SQUARE, in_place=False)


UNITS: dict[str, Callable[[Any], Unit]] = {
    "AbsVal": lambda _: Unit(Alg.ABS, Alg.ABS),
    "BNLL": lambda _: Unit(Alg.SOFT_RELU, Alg.SOFT_RELU, 1.0),
    "Clip": _clip,
    "ELU": _elu,
    "Power": _power,
    "Sigmoid": lambda _: Unit(Alg.LOGISTIC, Alg.LOGISTIC_DST),
    "Swish": lambda options: Unit(Alg.SWISH, Alg.SWISH, options.beta, in_place=False),
    "TanH": lambda _: Unit(Alg.TANH, Alg.TANH_DST),
}


class Neuron(Unary):
    """One of `UNITS`, in whatever layout its bottom has."""

    def plan(self) -> None:
        """The bottom's layout, else row-major."""
        bottom, top = self.step.bottom[0], self.step.top[0]
        unit = self.unit = UNITS[self.layer.type](self.layer.options)
        if bottom is top and self.training and not unit.in_place:
            raise Unsupported("its gradient in place")
        plain = MemoryDesc.plain((bottom.count_,))
        self.ahead = pick(*(lambda d=d: self._ahead(d) for d in (self.flat_layout(bottom), plain)))
        self.desc = self.ahead.src
        if self.training:
            self.back = pick(self._back)
        self.engine.settle(top, self.layout(bottom) if self.desc.dims == bottom.shape else plain)

    def _ahead(self, desc: MemoryDesc) -> PrimitiveDesc:
        return eltwise_forward(self.unit.forward, desc, desc, self.unit.alpha, self.unit.beta, training=self.training)

    def _back(self) -> PrimitiveDesc:
        unit, desc = self.unit, self.desc
        alpha = unit.alpha if unit.below is None else unit.below
        hint = eltwise_forward(unit.forward, desc, desc, alpha, unit.beta)
        return eltwise_backward(unit.backward, desc, desc, desc, hint, alpha, unit.beta)

    def make_backward(self) -> Run:
        """One primitive, from the top's values or from those the bottom has now."""
        bottom, top, desc = self.step.bottom[0], self.step.top[0], self.desc
        if not self.step.propagate_down[0]:
            return _nothing
        from_top = self.unit.backward in FROM_TOP
        data, dy = Operand((top if from_top else bottom).synced_data, desc), Operand(top.synced_diff, desc)
        dx = self.own_diff(bottom, desc) if bottom is top else Operand(bottom.synced_diff, desc)
        arguments: dict[int, Operand | Memory] = {
            Arg.DST if from_top else Arg.SRC: data,
            Arg.DIFF_DST: dy,
            Arg.DIFF_SRC: dx,
        }
        return Pass([data, dy], [self.call(self.back, arguments)], [dx])


def _nothing() -> None:
    """The bottom wants no gradient."""
