"""ShuffleChannel: channels dealt out from groups."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, Layer, Message, above, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case

IMAGE_AXES = 4


@message("shuffle_channel_param", 164)
class ShuffleChannelParameter(Message):
    """Options of ShuffleChannel."""

    group: int = option(1, "uint32", 1, doc="number of groups the channels are in", check=above(0))


class ShuffleChannel(Layer):
    """Channel g · (C / group) + i of the bottom becomes channel i · group + g of the top.

    Bottom: shape N×C×…. Top: the same shape, with ones appended up to four axes: N×C becomes N×C×1×1.
    Gradient: dx = dy with the channels in their former order. With one group, top and bottom share data and
    diff.

    Raises:
        CafxError: the bottom has less than two axes, or its channels are not divisible by group.

    Source: Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
    2018; the layer is from farmingyard/ShuffleNet.
    """

    Parameter = ShuffleChannelParameter
    options: ShuffleChannelParameter

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has at least four axes."""
        shape, group = bottom[0].shape, self.options.group
        if len(shape) < 2 or shape[1] % group:
            expected = f"N×C×… with C a multiple of {group}"
            raise self.error("channels are not divisible by group", found=shape_text(shape), expected=expected)
        top[0].reshape(*shape, *(1,) * (IMAGE_AXES - len(shape)))
        self.grouped = (shape[0], group, shape[1] // group, math.prod(shape[2:]))
        self.shuffled = (shape[0], shape[1] // group, group, math.prod(shape[2:]))
        if group == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Group and position within it change places."""
        if self.options.group > 1:
            y = top[0].mutable_data.reshape(self.shuffled)
            y[...] = bottom[0].data.reshape(self.grouped).swapaxes(1, 2)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """They change back."""
        if propagate_down[0] and self.options.group > 1:
            dx = bottom[0].mutable_diff.reshape(self.grouped)
            dx[...] = top[0].diff.reshape(self.shuffled).swapaxes(1, 2)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One, some and as many groups as channels; two to five axes."""
        from cafx.conformance import Case

        yield Case("three_groups", (2, 6, 4, 5), options={"group": 3})
        yield Case("default", (2, 3, 4, 5))
        yield Case("each_channel", (2, 4, 3), options={"group": 4})
        yield Case("vectors", (3, 8), options={"group": 2})
        yield Case("five_axes", (1, 4, 2, 3, 2), options={"group": 2})
