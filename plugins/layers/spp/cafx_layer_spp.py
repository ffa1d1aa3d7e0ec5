"""SPP: spatial pyramid pooling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, Layer, Message, Phase, above, message, option
from cafx.kernel.blob import shape_text
from cafx_lib_im2col import Window
from cafx_lib_pooling import Pool, make_pool

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("spp_param", 132)
class SPPParameter(Message):
    """Options of SPP."""

    class PoolMethod(IntEnum):
        """Pooling method."""

        MAX = 0
        AVE = 1
        STOCHASTIC = 2

    class Engine(IntEnum):
        """Caffe's implementations; accepted for compatibility, ignored."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    pyramid_height: int = option(1, "uint32", doc="number of levels; level l has 2^l × 2^l bins", check=above(0))
    pool: PoolMethod = option(2, PoolMethod, PoolMethod.MAX, doc="pooling method: MAX, AVE or STOCHASTIC")
    engine: Engine = option(6, Engine, Engine.DEFAULT, doc="accepted for compatibility, ignored")


class SPP(Layer):
    """Spatial pyramid pooling: a vector of fixed length for images of any size.

    Level l = 0, 1, … pools each plane into 2^l × 2^l bins of size ⌈H / 2^l⌉ × ⌈W / 2^l⌉; the padding on each
    side is half of the excess over the plane, rounded up. Bottom: N×C×H×W. Top: N×(C Σ 4^l), level after
    level; with a single level N×C×1×1.
    Gradient: the sum over the levels, each as in Pooling.

    Raises:
        CafxError: the bottom does not have four axes, pyramid_height is missing, or the planes are too small
            for the last level.

    Source: He et al., "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition",
    2014.
    """

    Parameter = SPPParameter
    options: SPPParameter

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check that pyramid_height is set."""
        if not self.options.pyramid_height:
            raise self.error("pyramid_height is missing", expected="spp_param { pyramid_height: … }")
        self.planes: tuple[int, ...] = ()
        self.levels: list[Pool] = []

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has one value per channel and bin."""
        shape = bottom[0].shape
        if len(shape) != 4:
            raise self.error("the bottom is not N×C×H×W", found=shape_text(shape), expected="4 axes")
        if self.planes != shape[2:]:
            self.levels = [self._level(2**level, shape[2:]) for level in range(self.options.pyramid_height)]
            self.planes = shape[2:]
        if len(self.levels) == 1:
            top[0].reshape(*shape[:2], *self.levels[0].outputs)
        else:
            bins = sum(math.prod(level.outputs) for level in self.levels)
            top[0].reshape(shape[0], shape[1] * bins)

    def _level(self, bins: int, planes: tuple[int, ...]) -> Pool:
        kernel = tuple(-(-size // bins) for size in planes)
        pad = tuple((k * bins - size + 1) // 2 for k, size in zip(kernel, planes, strict=True))
        return make_pool(self, self.options.pool.name, Window(kernel, kernel, pad, (1, 1)), planes)

    def _parts(self, bottom: Blob, array: Any) -> Iterator[tuple[Pool, Any]]:
        """Yield each level with its part of the top's ``array``, viewed as planes."""
        batch, channels = bottom.shape[:2]
        flat, start = array.reshape(batch, math.prod(array.shape[1:])), 0
        for level in self.levels:
            end = start + channels * math.prod(level.outputs)
            yield level, flat[:, start:end].reshape(batch, channels, *level.outputs)
            start = end

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = the pooled values, level after level."""
        for level, part in self._parts(bottom[0], top[0].mutable_data):
            level.forward(bottom[0].data, part)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dx = the sum of the levels' gradients."""
        if propagate_down[0]:
            dx = bottom[0].mutable_diff
            dx[...] = 0
            for level, part in self._parts(bottom[0], top[0].diff):
                level.backward(bottom[0].data, part, dx)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One to three levels, every method, planes that bins do not divide."""
        from cafx.conformance import Case
        from cafx.conformance.cases import distinct, uniform

        stochastic = {"pyramid_height": 2, "pool": "STOCHASTIC"}
        positive = uniform((2, 2, 4, 6), 0.5, 2.0)
        yield Case("one", distinct((2, 3, 4, 5)), options={"pyramid_height": 1})
        yield Case("three", distinct((2, 2, 7, 8)), options={"pyramid_height": 3, "engine": "CAFFE"})
        yield Case("ave", (3, 2, 5, 3), options={"pyramid_height": 2, "pool": "AVE"})
        yield Case("expected", positive, options=stochastic, phase=Phase.TEST)
        yield Case("drawn", positive, options=stochastic, skip={"seeded": "every forward pass draws again"})
