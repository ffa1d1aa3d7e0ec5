"""Losses of class scores; arrays are of NumPy or CuPy, as ``xp``."""

from __future__ import annotations

from typing import Any

from cafx_loss_multiboxloss.options import MultiBoxLossParameter

SMALLEST = 1.17549435e-38
"""Lower bound of probabilities, the smallest normal float32."""


def softmax_losses(xp: Any, x: Any, labels: Any) -> Any:
    """−log p[label] of each row.

    Args:
        xp: the array module.
        x: scores, of shape (rows, classes).
        labels: class of each row.
    """
    columns = xp.ascontiguousarray(x.T)
    highest = columns.max(axis=0)
    columns -= highest
    chosen = columns[labels, xp.arange(len(labels))]
    xp.exp(columns, out=columns)
    return xp.minimum(xp.log(columns.sum(axis=0)) - chosen, -xp.log(x.dtype.type(SMALLEST)))


def logistic_losses(xp: Any, x: Any, targets: Any) -> Any:
    """Σ over classes of log(1 + exp x) − x target, of each row.

    Args:
        xp: the array module.
        x: scores, of shape (rows, classes).
        targets: of the same shape.
    """
    return (xp.maximum(x, 0) - x * targets + xp.log1p(xp.exp(-abs(x)))).sum(axis=1)


def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + exp −x), without overflow."""
    return (1 + xp.tanh(x / 2)) / 2


class ScoreLoss:
    """Σ g(s, c) over rows of scores, and its gradient.

    Args:
        options: the layer's options.
        xp: the array module.
    """

    def __init__(self, options: MultiBoxLossParameter, xp: Any) -> None:
        self.logistic = options.conf_loss_type == MultiBoxLossParameter.ConfLossType.LOGISTIC
        self.xp = xp

    def of_labels(self, x: Any, labels: Any) -> Any:
        """The loss of each row against its class, by which mining ranks it.

        Args:
            x: scores, of shape (rows, classes).
            labels: a class of each row; with LOGISTIC, a label that is no class has target 0 in all.
        """
        if not self.logistic:
            return softmax_losses(self.xp, x, labels)
        targets = labels[:, None] == self.xp.arange(x.shape[1])
        return logistic_losses(self.xp, x, targets.astype(x.dtype))

    def total(self, x: Any, targets: Any) -> Any:
        """The sum over rows.

        Args:
            x: scores, of shape (rows, classes).
            targets: classes, or for LOGISTIC values of the shape of x.
        """
        losses = logistic_losses if self.logistic else softmax_losses
        return losses(self.xp, x, targets).sum() if len(x) else 0

    def slopes(self, x: Any, targets: Any) -> Any:
        """The derivative of `total` by x; arguments as there."""
        if self.logistic:
            return (1 + self.xp.tanh(x / 2)) / 2 - targets
        p = self.xp.exp(x - x.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[self.xp.arange(len(x)), targets] -= 1
        return p
