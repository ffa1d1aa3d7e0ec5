"""Concat."""

from __future__ import annotations

from cafx.kernel import Blob, Unsupported
from cafx.kernel.net import LayerPlan

from .. import native
from ..api.constants import Arg, DataType, source_arg
from ..api.memory import MemoryDesc
from ..api.pointwise import concat, reorder
from ..execution import Execution, Run, Work
from ..layouts import is_row_major
from ..operands import Operand
from ..parts import Written
from ..routine import Accelerated
from ..slices import Copies, Slices
from .convolution import ACTIVATIONS, BLOCK, IMAGES


def reads_parts(planned: LayerPlan) -> bool:
    """Whether a layer reads a concatenation along the channels as well in parts."""
    layer = planned.layer
    if layer.type == "Concat":
        return bool(layer.concat_axis == 1)
    return (
        layer.type == "BatchNorm"
        and layer.uses_running_statistics
        and bool(layer.eps)
        and not layer.syncs_statistics
        and planned.tops[0].synced_data is not planned.bottoms[0].synced_data
    )


class Concat(Accelerated):
    """Bottoms joined in whatever layouts they have; backward is a reorder out of each part."""

    def choose(self) -> None:
        """Blocks where every part fills them, else channels last; row-major where nothing is blocked."""
        if len(self.bottoms) < 2:
            raise Unsupported("one bottom shares its memory")
        if not 1 <= len(self.tops[0].shape) <= 5:
            raise Unsupported("more than five axes")
        self.bottoms = tuple(part for each in self.bottoms for part in self._parts_of(each))
        self.sources = [self.layout(bottom) for bottom in self.bottoms]
        self.result = self._result()
        self.stays_in_parts = self._stays_in_parts()
        if self.stays_in_parts:
            self.build.parts[self.tops[0].synced_data] = self.bottoms
            self.note = "left in parts"
        self.forward_desc = concat(self.sources, self.layer.concat_axis, self.result)
        self.parts = self._parts() if self.training else []
        self.build.set_layout(self.tops[0], self.result)

    def _parts_of(self, bottom: Blob) -> tuple[Blob, ...]:
        return self.build.parts.get(bottom.synced_data, (bottom,))

    def _stays_in_parts(self) -> bool:
        """Inference: whether all readers can read the bottoms themselves, in blocks of 16 channels."""
        plan, top = self.build.plan, self.tops[0].synced_data
        if plan.kept is None or plan.has_backward or top in plan.kept or native.unavailable():
            return False
        if not self._in_blocks():
            return False
        readers = [each for each in plan.layers if any(bottom.synced_data is top for bottom in each.bottoms)]
        return any(reads_parts(each) for each in readers) and all(
            reads_parts(each) or each.layer.type == "Split" for each in readers
        )

    def _in_blocks(self) -> bool:
        """Whether channels are joined, of which all bottoms have whole blocks of 16."""
        if self.layer.concat_axis != 1 or len(self.tops[0].shape) != IMAGES or self.engine.type != DataType.F32:
            return False
        blocks = [MemoryDesc.tagged(bottom.shape, ACTIVATIONS[IMAGES], DataType.F32) for bottom in self.bottoms]
        return self.sources == blocks and not any(bottom.shape[1] % BLOCK for bottom in self.bottoms)

    def _result(self) -> MemoryDesc:
        shape, kind = self.tops[0].shape, self.engine.type
        if all(map(is_row_major, self.sources)):
            return MemoryDesc.plain(shape, kind)
        fills_blocks = self.layer.concat_axis != 1 or all(bottom.shape[1] % BLOCK == 0 for bottom in self.bottoms)
        if fills_blocks:
            return concat(self.sources, self.layer.concat_axis, None).dst
        return MemoryDesc.channels_last(shape, kind)

    def _parts(self) -> list[MemoryDesc]:
        """Each bottom's window in the top."""
        parts, offset = [], [0] * len(self.tops[0].shape)
        for bottom in self.bottoms:
            parts.append(self.result.part(bottom.shape, offset))
            offset[self.layer.concat_axis] += bottom.shape[self.layer.concat_axis]
        return parts

    def make_forward(self) -> Run:
        """One primitive, or nothing if all readers read the bottoms, or these are where the top is."""
        if self.stays_in_parts:
            return Written(self.tops[0], self.bottoms)
        xs = [Operand(bottom.synced_data, desc) for bottom, desc in zip(self.bottoms, self.sources, strict=True)]
        y = Operand(self.tops[0].synced_data, self.result)
        arguments = {Arg.DST: y, **{source_arg(i): x for i, x in enumerate(xs)}}
        call = self.call(self.forward_desc, arguments)
        if self.build.plan.has_backward or self.tops[0].shape[0] != 1 or not self._in_blocks():
            return Execution(xs, [call], [y])
        self.slices = Slices(xs, y)
        return Execution(xs, [Copies(self.slices, call)], [y])

    def make_backward(self) -> Run:
        """A reorder for each bottom whose gradient is needed."""
        dy = Operand(self.tops[0].synced_diff, self.result)
        calls: list[Work] = []
        results = []
        parts = zip(self.bottoms, self.sources, self.parts, self.propagate_down, strict=True)
        for bottom, source, part, needed in parts:
            if needed:
                dx = Operand(bottom.synced_diff, source)
                calls.append(self.call(reorder(part, source), {Arg.SRC: dy.window(part), Arg.DST: dx}))
                results.append(dx)
        return Execution([dy], calls, results)
