"""Options of Pooling."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import Message, above, message, option


@message("pooling_param", 121)
class PoolingParameter(Message):
    """Options of Pooling."""

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

    class RoundMode(IntEnum):
        """Rounding of the output size."""

        CEIL = 0
        FLOOR = 1

    pool: PoolMethod = option(1, PoolMethod, PoolMethod.MAX, doc="pooling method: MAX, AVE or STOCHASTIC")
    pad: int = option(4, "uint32", 0, doc="zero padding on both axes")
    pad_h: int = option(9, "uint32", 0, doc="vertical padding, with pad_w instead of pad")
    pad_w: int = option(10, "uint32", 0, doc="horizontal padding, with pad_h instead of pad")
    kernel_size: int = option(2, "uint32", doc="height and width of the window", check=above(0))
    kernel_h: int = option(
        5, "uint32", doc="height of the window, with kernel_w instead of kernel_size", check=above(0)
    )
    kernel_w: int = option(6, "uint32", doc="width of the window, with kernel_h instead of kernel_size", check=above(0))
    stride: int = option(3, "uint32", 1, doc="stride on both axes", check=above(0))
    stride_h: int = option(7, "uint32", doc="vertical stride, with stride_w instead of stride", check=above(0))
    stride_w: int = option(8, "uint32", doc="horizontal stride, with stride_h instead of stride", check=above(0))
    engine: Engine = option(11, Engine, Engine.DEFAULT, doc="accepted for compatibility, ignored")
    global_pooling: bool = option(12, "bool", False, doc="pool over the whole plane")
    round_mode: RoundMode = option(13, RoundMode, RoundMode.CEIL, doc="round the output size up (CEIL) or down (FLOOR)")
