"""The options of Pooling."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import Message, above, message, option


@message("pooling_param", 121)
class PoolingParameter(Message):
    """Options of Pooling."""

    class PoolMethod(IntEnum):
        """What is made of a window."""

        MAX = 0
        AVE = 1
        STOCHASTIC = 2

    class Engine(IntEnum):
        """Which of Caffe's implementations; cafx chooses by its own engine."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    class RoundMode(IntEnum):
        """Whether a last window that hangs over the edge counts."""

        CEIL = 0
        FLOOR = 1

    pool: PoolMethod = option(1, PoolMethod, PoolMethod.MAX, doc="MAX, AVE or STOCHASTIC")
    pad: int = option(4, "uint32", 0, doc="how far windows may begin before the plane, on both axes")
    pad_h: int = option(9, "uint32", 0, doc="pad above and below, with pad_w in place of pad")
    pad_w: int = option(10, "uint32", 0, doc="pad left and right")
    kernel_size: int = option(2, "uint32", doc="height and width of the window", check=above(0))
    kernel_h: int = option(5, "uint32", doc="height, with kernel_w in place of kernel_size", check=above(0))
    kernel_w: int = option(6, "uint32", doc="width", check=above(0))
    stride: int = option(3, "uint32", 1, doc="step of the window on both axes", check=above(0))
    stride_h: int = option(7, "uint32", doc="step down, with stride_w in place of stride", check=above(0))
    stride_w: int = option(8, "uint32", doc="step to the right", check=above(0))
    engine: Engine = option(11, Engine, Engine.DEFAULT, doc="read and ignored")
    global_pooling: bool = option(12, "bool", False, doc="the window is the whole plane")
    round_mode: RoundMode = option(13, RoundMode, RoundMode.CEIL, doc="CEIL or FLOOR the number of windows")
