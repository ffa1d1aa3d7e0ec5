"""The loss of a softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import Blob, Unsupported

from ..api.constants import Arg
from ..api.memory import Memory, MemoryDesc
from ..exact import require_kernels
from ..execution import Execution, Run
from ..operands import Bindable, Operand
from ..routine import Accelerated

SMALLEST = np.finfo(np.float32).tiny
"""Lower bound of probabilities."""


class SoftmaxWithLoss(Accelerated):
    """Probabilities and those of the labels by one kernel; their logarithms are few, and NumPy's."""

    carried = ("divisor", "as_written")

    def choose(self) -> None:
        """Row-major scores and probabilities."""
        layer = self.layer
        if layer.class_weights is not None:
            raise Unsupported("weights of classes")
        require_kernels()
        plain = MemoryDesc.plain((self.bottoms[0].count_,))
        scratch = self.build.scratch
        self.probabilities = self.held(Arg.DST, plain)[Arg.DST] if self.training else scratch("probabilities", plain)
        self.picked = scratch("probabilities of labels", MemoryDesc.plain((layer.outer * layer.inner,)))
        self.factor = Memory(MemoryDesc.plain((1,)))
        self.divisor: Any = 1.0
        self.as_written = False
        for top in self.tops:
            self.build.set_layout(top, None)

    def _program(self, scores: Operand, labels: Operand, picked: Bindable, *, backward: bool) -> Any:
        from ..softmax_loss import Sizes, program  # needs llvmlite, which is not everywhere

        layer, memory = self.layer, {"scores": scores, "labels": labels, "picked": picked}
        return program(
            memory | {"probabilities": self.probabilities},
            Sizes(layer.outer, layer.classes, layer.inner),
            layer.ignored,
            backward=backward,
            threads=self.build.threads,
            scratch=self.build.scratch.floats,
        )

    def make_forward(self) -> Run:
        """The kernel, and the sum; as written where a label is no index, or a score is not finite."""
        scores, labels, *tops = (_plain(blob) for blob in (*self.bottoms, *self.tops))
        program = self._program(scores, labels, self.picked, backward=False)

        def finish() -> None:
            self.as_written = program.met_not_finite()
            if self.as_written:
                self.reference.forward()
            else:
                self._write_tops([each.array for each in tops], labels.array)

        return Execution([scores, labels], [program, finish], tops)

    def _write_tops(self, tops: list[Any], labels: Any) -> None:
        """L = −Σ log p[label] / normaliser, and p."""
        layer = self.layer
        counted = None if layer.ignored is None else np.count_nonzero(np.trunc(labels) != layer.ignored)
        self.divisor = layer.normaliser(layer.outer, layer.inner, counted)
        likelihood = np.log(np.maximum(self.picked.flat, SMALLEST))
        tops[0][0] = -likelihood.sum() / self.divisor
        if len(tops) > 1:
            tops[1][:] = self.probabilities.flat

    def make_backward(self) -> Run:
        """One kernel; as written where forward was."""
        self.layer.refuse_gradients(self.propagate_down)
        dx, labels = Operand(self.bottoms[0].synced_diff, self.probabilities.desc), _plain(self.bottoms[1])
        weight = Operand(self.tops[0].synced_diff, self.factor.desc)
        program = self._program(dx, labels, self.factor, backward=True)

        def run() -> None:
            if self.as_written:
                self.reference.backward()
            else:
                self.factor.flat[0] = weight.array[0] / self.divisor
                program()

        return Execution([labels, weight], [run], [dx])


def _plain(blob: Blob) -> Operand:
    """Values in row-major order."""
    return Operand(blob.synced_data, MemoryDesc.plain((blob.count_,)))
