"""MultiBoxLoss: loss of box predictions and their scores against ground truth (SSD)."""

from cafx_loss_multiboxloss.layer import MultiBoxLoss
from cafx_loss_multiboxloss.options import MultiBoxLossParameter

__all__ = ["MultiBoxLoss", "MultiBoxLossParameter"]
