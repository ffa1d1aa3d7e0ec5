"""Fields that Faster R-CNN and R-FCN add to messages of Caffe: a given divisor of losses."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import Message, above, option
from cafx.kernel.schema import Dialect, adds_values, derived_number, extends, read_by

READERS = read_by("losses with labels and SmoothL1LossOHEM")


@extends("LossParameter")
class FixedLossParameter(Message):
    """R-FCN's divisor of losses that is the same for every batch."""

    pre_fixed_normalizer: float = option(
        4, "float", 1.0, doc="the divisor of normalization: PRE_FIXED", check=above(0), effect=READERS
    )


@adds_values("LossParameter.NormalizationMode", READERS)
class FixedNormalization(IntEnum):
    """R-FCN's number of PRE_FIXED is that of BVLC's NONE, so it has another here."""

    PRE_FIXED = derived_number("PRE_FIXED")


class RCNN(Dialect):
    """Losses divided by a given number: ``loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }``."""

    fork = "Faster R-CNN, R-FCN"
    declares = (FixedLossParameter, FixedNormalization)
