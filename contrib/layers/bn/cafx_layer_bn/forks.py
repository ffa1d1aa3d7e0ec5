"""What differs between PSPNet's BN and SegNet's: parameters, statistics, and what the gradient goes through."""

from __future__ import annotations

from typing import Any

from cafx.kernel import Blob, FillerParameter, Phase

from .options import BNParameter

MEAN, VARIANCE = 2, 3
HALF = 0.5
"""Variance and eps of INFERENCE: their sum is 1, and in an engine's padding, where the variance is 0, not 0."""


class PSPNet:
    """BN with running statistics.

    Args:
        options: the layer's options.
        phase: the layer's phase.

    Attributes:
        eps: added to the variance.
        learns: whether γ and β have gradients.
        through_statistics: whether the gradient is that through the batch's statistics.
        uses_running_statistics: whether given statistics normalise, instead of the batch's.
        fillers: initialisers of the parameters.
        trained: the parameters that a solver trains.
    """

    def __init__(self, options: BNParameter, phase: Phase) -> None:
        self.eps, self.momentum = options.eps, options.momentum
        self.learns = self.through_statistics = not options.frozen
        self.uses_running_statistics = options.frozen or phase == Phase.TEST
        variance = FillerParameter(type="constant", value=float(options.frozen))
        self.fillers = [options.slope_filler, options.bias_filler, FillerParameter(), variance]
        self.trained = () if options.frozen else (0, 1)

    def running_statistics(self, blobs: list[Blob], xp: Any) -> tuple[Any, Any]:
        """Running mean and variance, (C,) each."""
        return blobs[MEAN].data.reshape(-1), blobs[VARIANCE].data.reshape(-1)

    def update(self, blobs: list[Blob], mean: Any, variance: Any) -> None:
        """Average the running statistics with a batch's."""
        for blob, statistic in ((blobs[MEAN], mean), (blobs[VARIANCE], variance)):
            running = blob.mutable_data.reshape(-1)
            running *= self.momentum
            running += (1 - self.momentum) * statistic


class SegNet:
    """BN that always normalises by the batch, or, for INFERENCE, never; attributes as in `PSPNet`.

    Args:
        options: the layer's options.
    """

    learns = True
    trained = (0, 1)

    def __init__(self, options: BNParameter) -> None:
        self.uses_running_statistics = options.bn_mode == options.BNMode.INFERENCE
        self.through_statistics = not self.uses_running_statistics
        self.eps = HALF if self.uses_running_statistics else 1e-9
        self.fillers = [options.scale_filler, options.shift_filler]

    def running_statistics(self, blobs: list[Blob], xp: Any) -> tuple[Any, Any]:
        """Statistics that change nothing."""
        mean = xp.zeros_like(blobs[0].data).reshape(-1)
        return mean, mean + HALF

    def update(self, blobs: list[Blob], mean: Any, variance: Any) -> None:
        """There is nothing to update."""
