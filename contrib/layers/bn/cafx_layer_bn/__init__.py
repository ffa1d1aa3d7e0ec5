"""BN: batch normalisation with scale and shift in one layer, as PSPNet's fork and as SegNet's define it."""

from cafx_layer_bn.layer import BN
from cafx_layer_bn.options import BNParameter

__all__ = ["BN", "BNParameter"]
