"""ShuffleChannel on the oneDNN engine: a reorder of five axes, the channels split in group and position."""

from __future__ import annotations

from cafx.kernel import Unsupported
from cafx_engine_onednn.api.constants import Arg
from cafx_engine_onednn.api.memory import MemoryDesc
from cafx_engine_onednn.api.pointwise import reorder
from cafx_engine_onednn.execution import NOTHING, Execution, Run
from cafx_engine_onednn.operands import Operand
from cafx_engine_onednn.routine import Accelerated, pick

IMAGE_AXES = 4


class ShuffleChannel(Accelerated):
    """Row-major or channels-last, whichever the bottom is. In training, blocks are converted to the latter.

    In inference they are left to the layer, after which depthwise convolutions keep to their blocks.
    """

    def choose(self) -> None:
        """A reorder in each direction."""
        bottom, group = self.bottoms[0], self.layer.options.group
        if group == 1 or bottom.num_axes != IMAGE_AXES:
            raise Unsupported("one group, or not four axes")
        own = self.layout(bottom)
        if own.blocks and not self.training:
            raise Unsupported("blocks of channels")
        self.desc = MemoryDesc.channels_last(bottom.shape, own.dtype) if own.blocks else own
        batch, channels, *sizes = bottom.shape
        stride, step, *steps = self.desc.strides
        each, dims = channels // group, (batch, group, channels // group, *sizes)
        self.grouped = MemoryDesc.strided(dims, (stride, step * each, step, *steps), self.desc.dtype)
        self.shuffled = MemoryDesc.strided(dims, (stride, step, step * group, *steps), self.desc.dtype)
        self.forward_desc = pick(lambda: reorder(self.grouped, self.shuffled))
        if self.training:
            self.backward_desc = pick(lambda: reorder(self.shuffled, self.grouped))
        self.build.set_layout(self.tops[0], self.desc)

    def make_forward(self) -> Run:
        """One reorder."""
        x, y = (Operand(each.synced_data, self.desc) for each in (self.bottoms[0], self.tops[0]))
        arguments = {Arg.SRC: x.window(self.grouped), Arg.DST: y.window(self.shuffled)}
        return Execution([x], [self.call(self.forward_desc, arguments)], [y])

    def make_backward(self) -> Run:
        """One reorder back."""
        if not self.propagate_down[0]:
            return NOTHING
        dx, dy = (Operand(each.synced_diff, self.desc) for each in (self.bottoms[0], self.tops[0]))
        arguments = {Arg.SRC: dy.window(self.shuffled), Arg.DST: dx.window(self.grouped)}
        return Execution([dy], [self.call(self.backward_desc, arguments)], [dx])
