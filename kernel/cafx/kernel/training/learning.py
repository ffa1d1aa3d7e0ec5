"""Telling before training that nothing would be learned."""

from __future__ import annotations

import logging
from typing import Any

from cafx.kernel.net import Net

log = logging.getLogger("cafx.solver")


def warn_if_nothing_learns(net: Net, options: Any) -> None:
    """Log one warning if no parameter of the training net would change.

    Args:
        net: the training net.
        options: the SolverParameter.
    """
    reason = why_nothing_learns(net, options)
    if reason:
        log.warning("nothing will be learned: %s", reason)


def why_nothing_learns(net: Net, options: Any) -> str | None:
    """Why no parameter of a net would change, and what to do; None if some would.

    Args:
        net: the training net.
        options: the SolverParameter.
    """
    if not net.parameters:
        return "the training net has no parameters"
    if not any(net.loss_weights.values()):
        scalars = [name for name in net.outputs if net.blobs[name].count_ == 1]
        example = f" (perhaps '{scalars[0]}')" if scalars else ""
        return f"the net has no loss; add a loss layer, or loss_weight: 1 to the layer whose top is the loss{example}"
    learning = {each.layer for each in net.parameters if (each.owner or each).multipliers[0]}
    if not learning:
        return "lr_mult is 0 for all parameters; remove it from the layers that are to learn"
    reached = {each.index for step in net.program.steps for each in step.layers if each.needs_backward}
    if not learning & reached:
        return "no layer with an lr_mult other than 0 leads to the loss, or propagate_down: false lies between"
    return "base_lr is 0" if not options.base_lr else None
