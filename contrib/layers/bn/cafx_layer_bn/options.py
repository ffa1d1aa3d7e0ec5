"""The options of BN: those of PSPNet's and of SegNet's fork, which use numbers 1 to 3 for different fields."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import FillerParameter, Message, at_least, message, option

PSPNET = ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine")
SEGNET = ("scale_filler", "shift_filler", "bn_mode")


@message("bn_param")
class BNParameter(Message):
    """Options of BN: PSPNet's or SegNet's, not both."""

    class Engine(IntEnum):
        """PSPNet's implementations; accepted for compatibility, ignored."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    class BNMode(IntEnum):
        """Whether SegNet's BN normalises, or its statistics are in scale and shift."""

        LEARN = 0
        INFERENCE = 1

    slope_filler: FillerParameter = option(None, FillerParameter, doc="PSPNet: initialiser of γ (default: 0)")
    bias_filler: FillerParameter = option(None, FillerParameter, doc="PSPNet: initialiser of β (default: 0)")
    momentum: float = option(None, "float", 0.9, doc="PSPNet: weight of the former running statistics")
    eps: float = option(4, "float", 1e-5, doc="PSPNet: added to the variance", check=at_least(0))
    frozen: bool = option(5, "bool", False, doc="PSPNet: use running statistics and learn nothing, in TRAIN phase too")
    engine: Engine = option(6, Engine, Engine.DEFAULT, doc="PSPNet: accepted for compatibility, ignored")
    scale_filler: FillerParameter = option(None, FillerParameter, doc="SegNet: initialiser of γ (default: 0)")
    shift_filler: FillerParameter = option(None, FillerParameter, doc="SegNet: initialiser of β (default: 0)")
    bn_mode: BNMode = option(None, BNMode, BNMode.LEARN, doc="SegNet: LEARN normalises; INFERENCE only scales")
