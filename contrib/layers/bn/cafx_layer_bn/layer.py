"""BN: batch normalisation with scale and shift in one layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob
from cafx.kernel.blob import shape_text

from .forks import PSPNet, SegNet
from .options import PSPNET, SEGNET, BNParameter
from .passes import SLOPE, Passes

if TYPE_CHECKING:
    from cafx.conformance import Case


class BN(Passes):
    """Batch normalisation with scale and shift: y = γ x̂ + β, x̂ = (x − μ) / √(σ² + eps), for each channel.

    Bottom: N×C×…, at least two axes. Top: the same shape; may be computed in place.
    Two forks define this layer. SegNet's is meant if the layer has one of the options ``scale_filler``,
    ``shift_filler`` and ``bn_mode``, more than one top, or two blobs in the prototxt; else PSPNet's.

    - PSPNet: μ and σ² (biased) are the batch's in TRAIN phase without ``frozen``, else running statistics, of which
      a pass with the batch's keeps ``momentum`` and adds 1 − ``momentum`` of the new ones. Parameters: γ, β, running
      μ and σ², 1×C×1×1. A solver trains γ and β only, nothing if ``frozen``; the running σ² begins as 0, with
      ``frozen`` as 1.
    - SegNet: with bn_mode LEARN the batch's statistics in both phases, and eps 1e-9; INFERENCE is y = γ x + β.
      Parameters: γ, β, 1×C×1×1. Optional tops: the batch's μ and σ², 1×C×1×1, without gradient.

    Gradients: dγ = Σ dy x̂, dβ = Σ dy, dx = γ (dy − mean dy − x̂ mean dy·x̂) / √(σ² + eps), per channel; with
    ``frozen`` or INFERENCE dx = γ dy / √(σ² + eps). As in PSPNet's fork, the first formula holds in TEST phase too,
    where it is not the derivative.

    Raises:
        CafxError: fewer than two axes, options of both forks, statistics as tops where there are none of the batch,
            or the number of channels has changed since setup.

    Source: Ioffe and Szegedy, "Batch Normalization", 2015; the forks of PSPNet and SegNet.

    Read by engines:
        eps: of the formula.
        uses_running_statistics: whether given statistics normalise, instead of the batch's.
        through_statistics: whether the gradient is that through the batch's statistics.
        learns: whether γ and β have gradients.
        running_statistics: method; mean and variance, (C,) each.
        update_running_statistics: method; takes a batch's mean and variance, (C,) each.
    """

    Parameter = BNParameter
    options: BNParameter
    in_place = True
    tops = (1, 3)
    constant_tops = (1, 2)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Decide which fork's layer it is, and create the parameters."""
        segnet, pspnet = ([name for name in names if self.options.has(name)] for names in (SEGNET, PSPNET))
        if segnet and pspnet:
            raise self.error("options of two forks", found=f"{segnet[0]} and {pspnet[0]}", expected="one fork's")
        is_segnet = segnet or (not pspnet and (len(top) > 1 or len(self.spec.blobs) == 2))
        fork = self.fork = SegNet(self.options) if is_segnet else PSPNet(self.options, self.phase)
        if len(top) > 1 and (not is_segnet or fork.uses_running_statistics):
            raise self.error("has no statistics as tops", expected="one top, or SegNet's BN with bn_mode: LEARN")
        self.eps, self.learns = fork.eps, fork.learns
        self.uses_running_statistics, self.through_statistics = fork.uses_running_statistics, fork.through_statistics
        shape = (1, bottom[0].shape[self.axis(bottom[0], 1)], 1, 1)
        for index, filler in enumerate(fork.fillers):
            self.add_parameter(shape, filler)
            if index not in fork.trained:
                self._do_not_train(index)
        self.kept = self.context.blob((), f"{self.name}.normalised")

    def _do_not_train(self, index: int) -> None:
        """Set a parameter's multipliers to 0, whatever the net states."""
        while len(self.spec.param) <= index:
            self.spec.param.add()
        self.spec.param[index].lr_mult = self.spec.param[index].decay_mult = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape, statistics that of the parameters."""
        shape, channels = bottom[0].shape, self.blobs[SLOPE].shape[1]
        if len(shape) < 2 or shape[1] != channels:
            raise self.error("wrong number of channels", found=shape_text(shape), expected=f"N×{channels}×…")
        top[0].reshape(*shape)
        for statistic in top[1:]:
            statistic.reshape(*self.blobs[SLOPE].shape)
        self.view = (shape[0], channels, bottom[0].count(2))
        self.reshape_kept(bottom, top)

    def running_statistics(self) -> tuple[Any, Any]:
        """Running mean and variance of each channel, (C,) each; for INFERENCE those that change nothing."""
        return self.fork.running_statistics(self.blobs, self.xp)

    def update_running_statistics(self, mean: Any, variance: Any) -> None:
        """Average the running statistics with a batch's.

        Args:
            mean: mean of each channel, (C,).
            variance: biased variance of each channel, (C,).
        """
        self.fork.update(self.blobs, mean, variance)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both forks' layers in both phases, two to five axes, in place and not."""
        from .cases import cases

        return cases()
