"""Activations that work value by value, each by the oneDNN algorithm that computes what Caffe does.

Exp and Log run as written: oneDNN's exponential returns infinity for NaN, and its logarithm is
off by up to 15 below the smallest normal float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from cafx.kernel import Unsupported

from ..api.constants import Alg, Arg
from ..api.memory import MemoryDesc
from ..api.pointwise import eltwise_backward, eltwise_forward
from ..api.primitives import PrimitiveDesc
from ..execution import NOTHING, Execution, Run
from ..operands import Bindable, Operand
from ..routine import Unary, pick

FROM_TOP = {Alg.LOGISTIC_DST, Alg.TANH_DST, Alg.ELU_DST}
SMALLEST = np.finfo(np.float32).tiny


@attrs.frozen
class Algorithm:
    """A oneDNN algorithm with its constants.

    Attributes:
        forward, backward: of the value and of its gradient; some gradients are computed from the top.
        alpha, beta: constants of both.
        backward_alpha: alpha of the gradient, if it differs.
        in_place: whether the gradient in place is what Caffe computes.
    """

    forward: Alg
    backward: Alg
    alpha: float = 0.0
    beta: float = 0.0
    backward_alpha: float | None = None
    in_place: bool = True


def _elu(options: Any) -> Algorithm:
    if options.alpha < 0:
        raise Unsupported("a negative alpha")
    return Algorithm(Alg.ELU, Alg.ELU_DST, options.alpha)


def _clip(options: Any) -> Algorithm:
    """oneDNN's gradient passes above the lower bound, Caffe's also at it."""
    low = np.float32(options.min)
    below = np.nextafter(low, np.float32(-np.inf)) if low else -SMALLEST
    return Algorithm(Alg.CLIP, Alg.CLIP, options.min, options.max, float(below))


def _power(options: Any) -> Algorithm:
    if options.power == 1:
        return Algorithm(Alg.LINEAR, Alg.LINEAR, options.scale, options.shift, in_place=False)
    if options.power != 2 or abs(options.scale) != 1 or options.shift:
        raise Unsupported("neither linear nor a plain square")
    return Algorithm(Alg.SQUARE, Alg.SQUARE, in_place=False)


ALGORITHMS: dict[str, Callable[[Any], Algorithm]] = {
    "AbsVal": lambda _: Algorithm(Alg.ABS, Alg.ABS),
    "BNLL": lambda _: Algorithm(Alg.SOFT_RELU, Alg.SOFT_RELU, 1.0),
    "Clip": _clip,
    "ELU": _elu,
    "Power": _power,
    "Sigmoid": lambda _: Algorithm(Alg.LOGISTIC, Alg.LOGISTIC_DST),
    "Swish": lambda options: Algorithm(Alg.SWISH, Alg.SWISH, options.beta, in_place=False),
    "TanH": lambda _: Algorithm(Alg.TANH, Alg.TANH_DST),
}


class Activation(Unary):
    """One of `ALGORITHMS`, in whatever layout its bottom has."""

    def choose(self) -> None:
        """The bottom's layout, else row-major."""
        bottom, top = self.bottoms[0], self.tops[0]
        self.algorithm = ALGORITHMS[self.layer.type](self.layer.options)
        if bottom is top and self.training and not self.algorithm.in_place:
            raise Unsupported("its gradient in place")
        plain = MemoryDesc.plain((bottom.count_,))
        self.forward_desc = pick(*(lambda d=d: self._forward_desc(d) for d in (self.flat_layout(bottom), plain)))
        self.desc = self.forward_desc.src
        if self.training:
            self.backward_desc = pick(self._backward_desc)
        self.build.set_layout(top, self.layout(bottom) if self.desc.dims == bottom.shape else plain)

    def _forward_desc(self, desc: MemoryDesc) -> PrimitiveDesc:
        chosen = self.algorithm
        return eltwise_forward(chosen.forward, desc, desc, chosen.alpha, chosen.beta, training=self.training)

    def _backward_desc(self) -> PrimitiveDesc:
        chosen, desc = self.algorithm, self.desc
        alpha = chosen.alpha if chosen.backward_alpha is None else chosen.backward_alpha
        hint = eltwise_forward(chosen.forward, desc, desc, alpha, chosen.beta)
        return eltwise_backward(chosen.backward, desc, desc, desc, hint, alpha, chosen.beta)

    def make_backward(self) -> Run:
        """One primitive, from the top's values or from those the bottom has now."""
        bottom, top, desc = self.bottoms[0], self.tops[0], self.desc
        if not self.propagate_down[0]:
            return NOTHING
        from_top = self.algorithm.backward in FROM_TOP
        data, dy = Operand((top if from_top else bottom).synced_data, desc), Operand(top.synced_diff, desc)
        dx = self.own_diff(bottom, desc) if bottom is top else Operand(bottom.synced_diff, desc)
        arguments: dict[int, Bindable] = {Arg.DST if from_top else Arg.SRC: data, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx}
        return Execution([data, dy], [self.call(self.backward_desc, arguments)], [dx])
