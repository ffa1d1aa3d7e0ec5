"""Fields that SegNet adds to messages of Caffe: losses weighted by class."""

from __future__ import annotations

from cafx.kernel import Message, at_least, option
from cafx.kernel.schema import Dialect, extends, read_by

READER = read_by("SoftmaxWithLoss")


@extends("LossParameter")
class WeightedLossParameter(Message):
    """A weight for each class."""

    weight_by_label_freqs: bool = option(3, "bool", False, doc="multiply losses by class_weighting", effect=READER)
    class_weighting: tuple[float, ...] = option(
        4, "float", repeated=True, doc="the weight of each class", check=at_least(0), effect=READER
    )


class SegNet(Dialect):
    """Losses weighted by class: ``loss_param { weight_by_label_freqs: true class_weighting: 0.5 class_weighting: 2 }``.

    A position's loss and gradient are multiplied by the weight of its label; the divisor does not change.
    """

    fork = "SegNet"
    declares = (WeightedLossParameter,)
