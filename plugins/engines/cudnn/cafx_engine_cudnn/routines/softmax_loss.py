"""SoftmaxWithLoss: loss and gradient straight from the scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx.kernel import CafxError, LossParameter, Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.routine import Accelerated
from cafx_engine_cudnn.routines.softmax import FILE, Rows, check_scores
from cafx_engine_cupy.session import BLOCK

LEAST = np.log(np.float32(1.17549435e-38))
"""The least log-likelihood that counts: that of the smallest normal float32."""
FOUND = 4
"""Words of what one block finds: loss, number of labels, lowest and highest label."""


class SoftmaxWithLoss(Accelerated):
    """Multinomial logistic loss of a softmax over axis 1.

    One kernel reads the scores and sums the losses of each block's pixels in float32; a second one adds
    up the blocks, always in the same order, and divides. Probabilities are not written, unless there is
    a top for them: a pixel's maximum and sum are kept, from which the gradient is one pass, value by value.
    How many labels count stays on the GPU, as does their range, which `Checks` is given.
    """

    carried = ("_kept", "_divisor")

    def choose(self) -> None:
        """Scores channels-last, labels row-major: a label per pixel, in the same order."""
        layer, (scores, labels) = self.layer, self.bottoms
        check_scores(self, scores, layer.axis(scores, layer.options.axis))
        if self.propagate_down[1]:
            raise Unsupported("labels have no gradient")
        if layer.class_weights is not None:
            raise Unsupported("weights of classes")
        self.x, self.dx = self.data(scores), self.diff(scores)
        self.labels = self.row_major(labels.synced_data)
        self.loss = self.row_major(self.tops[0].synced_data)
        self.weight = self.row_major(self.tops[0].synced_diff)
        self.p: Operand | None = None
        if len(self.tops) > 1:
            self.p = self.data(self.tops[1])
            self.build.writes(self.tops[1], self.p.place)
        self._rows = Rows(self, scores)
        self._kept: Any = None
        self._divisor: Any = None

    # -- what is planned

    @property
    def forward_uses(self) -> Access:
        """From scores and labels to the loss."""
        return Access(reads=[self.x, self.labels], writes=[self.loss, *([self.p] if self.p else [])])

    @property
    def backward_uses(self) -> Access:
        """From scores, labels and the loss' weight to the scores' gradient."""
        reads = [self.x, self.labels, self.weight]
        return Access(reads=reads, writes=[self.dx]) if self.propagate_down[0] else Access()

    @property
    def nbytes(self) -> int:
        """Maximum and sum of each pixel."""
        return 8 * int(self._rows.numbers[0]) if self.training else 0

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._kept = self._divisor = None

    # -- passes

    def forward(self) -> None:
        """Write the loss."""
        cupy, labels = self.session.cupy, self.labels.read()
        if self._divisor is None:
            self._divisor = cupy.empty(1, np.float32)
            self._kept = cupy.empty(2 * int(self._rows.numbers[0]), np.float32) if self.training else None
        partial = self.build.scratch("losses", FOUND * self._rows.blocks, np.float32)
        extremes = self.build.scratch("labels", 2, np.float32)
        p = None if self.p is None else self.p.target()
        arrays = [self.x.read(), labels, p, self._kept, partial]
        self._rows.launch("softmax_loss", arrays, [*self._ignored, np.float32(LEAST)])
        numbers = np.int32(self._rows.blocks), self._fixed_divisor
        totals = (partial, self.loss.target(), self._divisor, extremes, *numbers)
        self.precision.launch(FILE, "softmax_loss_total", (1,), BLOCK, totals)
        self.loss.written()
        if self.p is not None:
            self.p.written()
        self._check(extremes)

    @property
    def _ignored(self) -> tuple[np.int32, np.float32]:
        """Whether a label is ignored, and which."""
        ignored = self.layer.ignored
        return np.int32(ignored is not None), np.float32(ignored or 0)

    @property
    def _fixed_divisor(self) -> np.float32:
        """What the loss is divided by; 0 for the number of labels that count."""
        layer = self.layer
        varies = layer.ignored is not None and layer.normaliser.mode == LossParameter.NormalizationMode.VALID
        return np.float32(0 if varies else layer.normaliser(layer.outer, layer.inner))

    def _check(self, extremes: Any) -> None:
        """Let the labels' range be checked where results are read."""
        layer = self.layer

        def error(lowest: float, highest: float) -> CafxError:
            ignored = "" if layer.ignored is None else f", or {layer.ignored}"
            made: CafxError = layer.error(
                "a label is not a class index",
                found=f"labels from {lowest:g} to {highest:g}",
                expected=f"0 to {layer.classes - 1}{ignored}",
            )
            return made

        layer.context.checks.require_range(extremes, -1, layer.classes, error, f"{layer.name}: labels")

    def backward(self) -> None:
        """dx = dL · (p − 1 at the label) / divisor."""
        if not self.propagate_down[0]:
            return
        arrays = self.x.read(), self.labels.read(), self._kept, self.weight.read(), self._divisor, self.dx.target()
        packs = self.packs(self.bottoms[0])
        self.launch(FILE, "softmax_loss_gradient", packs, *arrays, *self._rows.numbers, *self._ignored)
        self.dx.written()
