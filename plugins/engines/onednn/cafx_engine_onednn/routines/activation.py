"""Activations that work value by value, each by the oneDNN algorithm that computes what Caffe does.

Exp and Log run as written: oneDNN's exponential returns infinity for NaN, and its logarithm is
off by up to 15 below the smallest normal float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from cafx.kernel import Unsupported

from ..api.constants import Alg, Arg
from ..api.memory import MemoryDesc
from ..api.pointwise import eltwise_backward, eltwise_forward
from ..api.primitives import PrimitiveDesc
from ..exact import require_kernels, valuewise
from ..execution import NOTHING, Execution, Run
from ..operands import Bindable, Operand
from ..routine import Unary, pick

FROM_TOP = {Alg.LOGISTIC_DST, Alg.TANH_DST, Alg.ELU_DST}


@attrs.frozen
class Algorithm:
    """A oneDNN algorithm with its constants.

    Attributes:
        forward, backward: of the value and of its gradient; some gradients are computed from the top.
        alpha, beta: constants of both.
        in_place: whether the gradient in place is what Caffe computes.
        exact_forward, exact_backward: functions of `valuewise` that compute them where oneDNN loses NaN.
    """

    forward: Alg
    backward: Alg
    alpha: float = 0.0
    beta: float = 0.0
    in_place: bool = True
    exact_forward: str = ""
    exact_backward: str = ""


def _elu(options: Any) -> Algorithm:
    if options.alpha < 0:
        raise Unsupported("a negative alpha")
    return Algorithm(Alg.ELU, Alg.ELU_DST, options.alpha, exact_backward="elu_gradient")


def _clip(options: Any) -> Algorithm:
    functions = {"exact_forward": "clip", "exact_backward": "clip_gradient"}
    return Algorithm(Alg.CLIP, Alg.CLIP, options.min, options.max, **functions)


def _power(options: Any) -> Algorithm:
    if options.power == 1:
        return Algorithm(Alg.LINEAR, Alg.LINEAR, options.scale, options.shift, in_place=False)
    if options.power != 2 or abs(options.scale) != 1 or options.shift:
        raise Unsupported("neither linear nor a plain square")
    return Algorithm(Alg.SQUARE, Alg.SQUARE, in_place=False)


ALGORITHMS: dict[str, Callable[[Any], Algorithm]] = {
    "AbsVal": lambda _: Algorithm(Alg.ABS, Alg.ABS, exact_backward="abs_gradient"),
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
        if self.algorithm.exact_forward or self.algorithm.exact_backward:
            require_kernels()
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
        hint = eltwise_forward(chosen.forward, desc, desc, chosen.alpha, chosen.beta)
        return eltwise_backward(chosen.backward, desc, desc, desc, hint, chosen.alpha, chosen.beta)

    def make_forward(self) -> Run:
        """One primitive or kernel."""
        chosen = self.algorithm
        if not chosen.exact_forward:
            return super().make_forward()
        x, y = (Operand(each.synced_data, self.desc) for each in (self.bottoms[0], self.tops[0]))
        work = valuewise(self.build, chosen.exact_forward, x, x, y, chosen.alpha, chosen.beta)
        return Execution([x], [work], [y])

    def make_backward(self) -> Run:
        """One primitive or kernel, from the top's values or from those the bottom has now."""
        bottom, top, desc = self.bottoms[0], self.tops[0], self.desc
        if not self.propagate_down[0]:
            return NOTHING
        chosen = self.algorithm
        from_top = chosen.backward in FROM_TOP
        data, dy = Operand((top if from_top else bottom).synced_data, desc), Operand(top.synced_diff, desc)
        dx = self.own_diff(bottom, desc) if bottom is top else Operand(bottom.synced_diff, desc)
        if chosen.exact_backward:
            work = valuewise(self.build, chosen.exact_backward, data, dy, dx, chosen.alpha, chosen.beta)
            return Execution([data, dy], [work], [dx])
        arguments: dict[int, Bindable] = {Arg.DST if from_top else Arg.SRC: data, Arg.DIFF_DST: dy, Arg.DIFF_SRC: dx}
        return Execution([data, dy], [self.call(self.backward_desc, arguments)], [dx])
